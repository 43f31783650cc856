package integration_test

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"outrider/integration/meshtest"
)

// BenchmarkTracing is what tracing costs a gateway: CPU microseconds a request, of the
// process' own user and system time, with a Jaeger that takes the spans.
func BenchmarkTracing(b *testing.B) {
	binary := filepath.Join(b.TempDir(), "sidecar")
	if out, err := exec.CommandContext(b.Context(), "go", "build", "-o", binary, "outrider/sidecar").CombinedOutput(); err != nil {
		b.Fatalf("go build: %v\n%s", err, out)
	}
	jaeger := meshtest.StartJaeger(b)
	origin := meshtest.Origin(b, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, strings.Repeat("x", 128)) })
	for _, of := range []struct{ name, yaml string }{
		{"off", ""},
		{"unsampled", "tracing: {endpoint: %q, sample: 0}\n"},
		{"1_percent", "tracing: {endpoint: %q, sample: 0.01}\n"},
		{"100_percent", "tracing: {endpoint: %q, sample: 1}\n"},
	} {
		b.Run(of.name, func(b *testing.B) {
			yaml := of.yaml
			if yaml != "" {
				yaml = fmt.Sprintf(yaml, jaeger.GRPC)
			}
			measureCPU(b, binary, yaml+"logging: {access: false}\nservices: {tea: {url: "+origin.URL+"}}\nrouting: [{path: /tea, service: tea}]\n")
		})
	}
}

// measureCPU sends b.N requests through an ingress of that configuration.
func measureCPU(b *testing.B, binary, yaml string) {
	host := meshtest.OwnHost()
	ports := meshtest.FreePorts(b, host, 2)
	file := filepath.Join(b.TempDir(), "gateway.yml")
	yaml += fmt.Sprintf("server: {host: %s, port: %d}\nadmin: {listen: \"%s:%d\"}\n", host, ports[0], host, ports[1])
	if err := os.WriteFile(file, []byte(yaml), 0o600); err != nil {
		b.Fatal(err)
	}
	cmd := exec.CommandContext(b.Context(), binary, "ingress", "--config", file)
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	defer func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait() // says that it was killed
	}()
	url := fmt.Sprintf("http://%s:%d/tea", host, ports[0])
	meshtest.Eventually(b, "the ingress serves", func() bool { return statusOf(url) == http.StatusOK })
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}}
	defer client.CloseIdleConnections()
	before := cpuTicks(b, cmd.Process.Pid)
	b.ResetTimer()
	b.SetParallelism(16)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			resp, err := client.Get(url)
			if err != nil {
				b.Error(err)
				return
			}
			_, _ = io.Copy(io.Discard, resp.Body)
			resp.Body.Close()
		}
	})
	b.StopTimer()
	const microsecondsATick = 10_000 // of 100 ticks a second, which Linux shows whatever it counts by
	b.ReportMetric(float64(cpuTicks(b, cmd.Process.Pid)-before)*microsecondsATick/float64(b.N), "cpu-µs/op")
}

// cpuTicks returns the user and system time of a process (proc_pid_stat(5), fields 14
// and 15).
func cpuTicks(b *testing.B, pid int) (ticks int64) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		b.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), ") ") // behind the command's name, which may hold anything
	fields := strings.Fields(rest)
	for _, field := range fields[11:13] {
		n, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			b.Fatal(err)
		}
		ticks += n
	}
	return ticks
}
