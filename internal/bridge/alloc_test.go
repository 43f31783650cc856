package bridge_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"outrider/internal/bridge"
	"outrider/internal/mesh"
)

// sink is a server's ResponseWriter that costs nothing.
type sink struct{ header http.Header }

func (s *sink) Header() http.Header              { return s.header }
func (s *sink) Write(p []byte) (int, error)      { return len(p), nil }
func (s *sink) WriteHeader(int)                  {}
func (s *sink) FlushError() error                { return nil }
func (s *sink) SetWriteDeadline(time.Time) error { return nil }

func TestHandlerAllocations(t *testing.T) {
	resp := &http.Response{}
	stack := mesh.RoundTripFunc(func(*http.Request) (*http.Response, error) { return resp, nil })
	handler := bridge.New(bridge.Config{Stack: stack})
	ctx, cancel := context.WithCancel(context.Background()) // as a server's: it can end
	defer cancel()
	req := httptest.NewRequest(http.MethodGet, "/", nil).WithContext(ctx)
	req.ProtoMajor, req.ProtoMinor = 2, 0
	w := &sink{header: make(http.Header)}
	if got := testing.AllocsPerRun(200, func() {
		clear(w.header)
		clear(req.Header)
		*resp = http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: http.NoBody}
		handler.ServeHTTP(w, req)
	}); got > 18 {
		t.Errorf("%v allocations a request, want at most 18", got)
	}
}
