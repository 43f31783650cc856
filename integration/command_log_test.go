package integration_test

import (
	"bytes"
	"io"
	"net/http"
	"os"
	"strings"
	"syscall"
	"testing"
)

// What reads the access log of a process may stop, or go away: nothing but lines is lost.
func (c command) testAccessLog(t *testing.T) {
	const requests = 400 // lines of 400 bytes and more: neither a pipe nor the buffer holds them
	file := write(t, freePorts+"logging: {access: {buffer: 64KiB}}\n"+saying("tea"))
	begin := func(t *testing.T) (r *running, reader *os.File) {
		reader, writer, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { reader.Close() })
		defer writer.Close() // the process has its own
		return c.startTo(t, writer, nil, "ingress", "--config", file), reader
	}
	ask := func(t *testing.T, r *running) {
		for range requests {
			if status, text := get(t, http.MethodGet, r.Server+"/word"); status != http.StatusOK {
				t.Fatalf("%d %s", status, text)
			}
		}
	}
	stop := func(t *testing.T, r *running) {
		r.signal(t, syscall.SIGTERM)
		if code := r.end(t); code != 0 {
			t.Errorf("exit code %d\n%s", code, r.log)
		}
	}
	t.Run("read to its end", func(t *testing.T) {
		r, reader := begin(t)
		text := make(chan []byte, 1)
		go func() {
			all, _ := io.ReadAll(reader)
			text <- all
		}()
		ask(t, r)
		stop(t, r)
		if n := bytes.Count(await(t, "the log's end", text), []byte("\"status\":200,")); n != requests {
			t.Errorf("%d lines of %d requests", n, requests)
		}
	})
	for name, tt := range map[string]struct {
		hinder func(*os.File)
		said   string
	}{
		"a reader that is gone":  {func(f *os.File) { f.Close() }, `"error":"write /dev/stdout: broken pipe"`},
		"a reader that is stuck": {func(*os.File) {}, "the access log is not taken off quickly enough"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // one waits for what never comes
			r, reader := begin(t)
			tt.hinder(reader)
			ask(t, r)
			if _, metrics := get(t, http.MethodGet, r.Admin+"/metrics"); strings.Contains(metrics, "outrider_access_log_dropped_total 0\n") {
				t.Error("nothing was dropped: this test asks too little")
			}
			stop(t, r)
			if log := r.log.String(); !strings.Contains(log, tt.said) || !strings.Contains(log, "lines of the access log were not written") {
				t.Errorf("its log does not say %q:\n%s", tt.said, log)
			}
		})
	}
}
