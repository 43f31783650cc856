package outbound

import (
	"net/http"
	"testing"
	"time"
)

func FuzzGRPCTimeout(f *testing.F) {
	for _, v := range []string{"", "1H", "99999999H", "5S", "10m", "0n", "-1S", "1"} {
		f.Add(v)
	}
	f.Fuzz(func(t *testing.T, v string) {
		req := &http.Request{Header: http.Header{"Content-Type": {"application/grpc"}, "Grpc-Timeout": {v}}}
		if d := grpcTimeout(req); d < 0 || d > maxTimeout {
			t.Errorf("%q: %v", v, d)
		}
	})
}

func FuzzRetryAfter(f *testing.F) {
	for _, v := range []string{"", "0", "120", "-1", "99999999999", "Mon, 02 Jan 2006 15:04:05 GMT"} {
		f.Add(v)
	}
	now := time.Unix(1_000_000_000, 0)
	f.Fuzz(func(t *testing.T, v string) {
		if d := retryAfter(http.Header{"Retry-After": {v}}, now); d < 0 {
			t.Errorf("%q: %v", v, d)
		}
	})
}
