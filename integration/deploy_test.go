package integration_test

import (
	"bytes"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"outrider/integration/meshtest"
)

// deployFolder is where the manifests are.
var deployFolder = filepath.Join("..", "deploy")

// promtool runs it, and fails where there is none.
func promtool(t *testing.T, stdin string, args ...string) {
	t.Helper()
	path, err := exec.LookPath("promtool")
	if err != nil {
		t.Fatal("promtool is missing: run `make promtool`, or apt-get install prometheus")
	}
	cmd := exec.CommandContext(t.Context(), path, args...)
	cmd.Stdin = strings.NewReader(stdin)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

func TestPromtoolReadsTheRules(t *testing.T) {
	promtool(t, "", "check", "config", filepath.Join(deployFolder, "prometheus", "prometheus.yml")) // and the rules that it names
	promtool(t, "", "test", "rules", filepath.Join(deployFolder, "prometheus", "rules_test.yml"))
}

func TestPromtoolReadsTheMetrics(t *testing.T) {
	origin := meshtest.Origin(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("tea")) })
	g := meshtest.Gateway(t, "services: {tea: {url: "+origin.URL+"}}\nrouting: [{path: /tea, service: tea}]\n")
	for _, path := range []string{"/tea", "/nowhere"} {
		get(t, http.MethodGet, g.URL+path)
	}
	status, metrics := get(t, http.MethodGet, g.Admin+"/metrics")
	if status != http.StatusOK || !strings.Contains(metrics, "gateway_requests_total{") {
		t.Fatalf("%d\n%s", status, metrics)
	}
	promtool(t, metrics, "check", "metrics")
}

// Parts of PromQL, as far as the rules use it.
var (
	quotedText     = regexp.MustCompile(`"[^"]*"`)
	metricSelector = regexp.MustCompile(`([a-zA-Z_:][a-zA-Z0-9_:]*)\{([^}]*)\}`)
	labelMatcher   = regexp.MustCompile(`([a-zA-Z_]\w*)\s*(=~|!~|!=|=)\s*"([^"]*)"`)
	labelGrouping  = regexp.MustCompile(`\b(?:by|without|on|ignoring)\s*\(([^)]*)\)`)
	promName       = regexp.MustCompile(`[a-zA-Z_:][a-zA-Z0-9_:]*`)
	sampleLine     = regexp.MustCompile(`(?m)^([a-z_]+)(?:\{(.*)\})? `)
	ruleExprs      = regexp.MustCompile(`(?m)^( +)expr: (?:\|\n((?:\s+.*\n)+?)\n|(.*)$)`)
	ruleRecords    = regexp.MustCompile(`record: (\S+)`)
	promWords      = map[string]bool{"sum": true, "rate": true, "increase": true, "histogram_quantile": true, "m": true}
)

// exported are the metrics that the proxies export, their labels and what these have
// been seen to say.
func exported(t *testing.T) map[string]map[string]map[string]bool {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "internal", "telemetry", "testdata", "metrics.txt"))
	if err != nil {
		t.Fatal(err)
	}
	metrics := map[string]map[string]map[string]bool{}
	for _, line := range sampleLine.FindAllStringSubmatch(string(text), -1) {
		labels := metrics[line[1]]
		if labels == nil {
			labels = map[string]map[string]bool{}
			metrics[line[1]] = labels
		}
		for _, m := range labelMatcher.FindAllStringSubmatch(line[2], -1) {
			if labels[m[1]] == nil {
				labels[m[1]] = map[string]bool{}
			}
			labels[m[1]][m[3]] = true
		}
	}
	return metrics
}

// A rule on a metric or a label that nobody exports never fires, and nobody notices.
func TestRulesNameWhatIsExported(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(deployFolder, "prometheus", "rules.yml"))
	if err != nil {
		t.Fatal(err)
	}
	metrics := exported(t)
	metrics["up"] = nil
	for _, r := range ruleRecords.FindAllStringSubmatch(string(text), -1) {
		metrics[r[1]] = nil
	}
	labels := map[string]bool{"job": true, "instance": true} // Prometheus' own
	for _, of := range metrics {
		for label := range of {
			labels[label] = true
		}
	}
	found := ruleExprs.FindAllStringSubmatch(string(text), -1)
	if want := bytes.Count(text, []byte("expr:")); len(found) != want || want < 10 || len(metrics) < 20 {
		t.Fatalf("%d of %d expressions, on %d metrics: this test does not read them any more", len(found), want, len(metrics))
	}
	for _, e := range found {
		if fault := ruleFault(e[2]+e[3], metrics, labels); fault != "" {
			t.Errorf("%s: %s", strings.TrimSpace(e[2]+e[3]), fault)
		}
	}
}

// ruleFault says what in an expression nobody exports.
func ruleFault(expr string, metrics map[string]map[string]map[string]bool, labels map[string]bool) string {
	for _, s := range metricSelector.FindAllStringSubmatch(expr, -1) {
		for _, m := range labelMatcher.FindAllStringSubmatch(s[2], -1) {
			label, op, value := m[1], m[2], m[3]
			if metrics[s[1]][label] == nil {
				return s[1] + " has no label " + label
			}
			if op == "=" && !metrics[s[1]][label][value] {
				return s[1] + ": " + label + " never says " + value
			}
		}
	}
	for _, g := range labelGrouping.FindAllStringSubmatch(expr, -1) {
		for _, label := range promName.FindAllString(g[1], -1) {
			if !labels[label] {
				return "there is no label " + label
			}
		}
	}
	rest := labelGrouping.ReplaceAllString(metricSelector.ReplaceAllString(quotedText.ReplaceAllString(expr, ""), "$1"), "")
	for _, n := range promName.FindAllString(rest, -1) {
		if _, ok := metrics[n]; !ok && !promWords[n] {
			return "there is no metric " + n
		}
	}
	return ""
}

func TestRuleFaultsAreFound(t *testing.T) {
	metrics, labels := exported(t), map[string]bool{"service": true}
	for expr, want := range map[string]string{
		`sum by (service) (rate(gateway_requests_total{status_code=~"5.."}[5m])) > 0`: "",
		`rate(gateway_request_total[5m])`:                                             "there is no metric gateway_request_total",
		`gateway_requests_total{status="500"}`:                                        "gateway_requests_total has no label status",
		`sum by (svc) (outrider_panic)`:                                               "there is no label svc",
		`outrider_endpoints{state="well"}`:                                            "outrider_endpoints: state never says well",
	} {
		if got := ruleFault(expr, metrics, labels); got != want {
			t.Errorf("%s: %q, want %q", expr, got, want)
		}
	}
}

// The manifests' own module has tests of its own.
func TestManifestsModule(t *testing.T) {
	cmd := exec.CommandContext(t.Context(), "go", "test", "./...")
	cmd.Dir = "manifests"
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("go test in integration/manifests: %v\n%s", err, out)
	}
}
