package policy_test

import (
	"errors"
	"net/http"
	"testing"

	"outrider/internal/mesh"
	"outrider/policy"
)

func TestMaxConcurrentShedsWhatIsBeyond(t *testing.T) {
	stack := mesh.Stack(mesh.RoundTripFunc(func(*http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: http.StatusOK, Body: http.NoBody}, nil
	}), policy.MaxConcurrent(2))
	ask := func() (*mesh.Call, error) {
		call := mesh.NewCall(t.Context())
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://app/", nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := stack.RoundTrip(call.Bind(req))
		if err == nil {
			resp.Body.Close() // the head alone frees no place
		}
		return call, err
	}
	first, err := ask()
	if err != nil {
		t.Fatalf("the first of two: %v", err)
	}
	if _, err := ask(); err != nil {
		t.Fatalf("the second of two: %v", err)
	}
	_, err = ask()
	var fault *mesh.Fault
	if !errors.As(err, &fault) || fault.Kind != mesh.Shed || fault.RetryAfter <= 0 {
		t.Fatalf("the third: %v, want it shed with Retry-After", err)
	}
	first.End(mesh.Result{})
	if _, err := ask(); err != nil {
		t.Errorf("after one has ended: %v", err)
	}
	if _, err := ask(); !errors.As(err, &fault) {
		t.Errorf("full again: %v, want a Fault", err)
	}
}

func TestMaxConcurrentZeroIsNoLayer(t *testing.T) {
	if policy.MaxConcurrent(0) != nil {
		t.Error("a layer, want none")
	}
}
