package integration_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"syscall"

	"outrider/examples"
)

// diaryKind is the service that says on standard output what happens to it.
const diaryKind = "diary"

// What such an app is told besides.
const (
	diaryReady = "OUTRIDER_TEST_READY" // the URL that it asks first
	diaryCode  = "OUTRIDER_TEST_CODE"  // its exit code after SIGTERM
)

// keepDiary is an app that listens, notes each signal and request, and when it is told
// to end calls another service before it does.
func keepDiary() {
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP, syscall.SIGUSR1, syscall.SIGUSR2)
	fmt.Printf("app: started as %d, its sidecar answers %d\n", os.Getpid(), statusOf(os.Getenv(diaryReady)))
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Println("app: a request has begun")
		body, err := io.ReadAll(r.Body)
		fmt.Printf("app: a request has ended (%v)\n", err)
		_, _ = w.Write(body)
	})
	srv, err := examples.Start(context.Background(), examples.Service{Name: diaryKind, Handler: handler}, os.Getenv(serviceListen))
	if err != nil {
		fmt.Println("app:", err)
		os.Exit(1)
	}
	fmt.Println("app: listening")
	for s := range signals {
		fmt.Println("app: got", s)
		if s == syscall.SIGTERM {
			break
		}
	}
	fmt.Println("app: its last call is answered", lastCall(os.Getenv(serviceOutbound)))
	srv.Stop()
	code, _ := strconv.Atoi(os.Getenv(diaryCode))
	os.Exit(code)
}

// lastCall calls the service tea by the sidecar, and returns the answer's status.
func lastCall(outbound string) string {
	req, err := http.NewRequestWithContext(context.Background(), http.MethodGet, outbound+"/tea", nil)
	if err != nil {
		return err.Error()
	}
	req.Host = "tea"
	resp, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(req)
	if err != nil {
		return err.Error()
	}
	resp.Body.Close()
	return resp.Status
}
