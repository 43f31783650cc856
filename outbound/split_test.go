package outbound_test

import (
	"context"
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"

	"outrider/internal/mesh"
	"outrider/outbound"
)

func origin(name mesh.Service, seen map[mesh.Service]int, t *testing.T) http.RoundTripper {
	return mesh.RoundTripFunc(func(req *http.Request) (*http.Response, error) {
		if got := mesh.From(req).Service; got != name {
			t.Errorf("%s is reached as %s", name, got)
		}
		seen[name]++
		return &http.Response{StatusCode: http.StatusOK, Body: http.NoBody}, nil
	})
}

func TestSplit(t *testing.T) {
	seen := map[mesh.Service]int{}
	var choices []outbound.Choice
	for name, weight := range map[mesh.Service]int{"none": 0, "a": 90, "b": 9, "c": 1} {
		choices = append(choices, outbound.Choice{Origin: origin(name, seen, t), Service: name, Weight: weight})
	}
	rt, err := outbound.Split(choices, rand.New(rand.NewPCG(1, 2)).Uint64)
	if err != nil {
		t.Fatal(err)
	}
	const n = 10000
	for range n {
		x := prepare(context.Background(), t, "GET", "/", nil)
		if _, err := rt.RoundTrip(x.req); err != nil {
			t.Fatal(err)
		}
	}
	for name, percent := range map[mesh.Service]int{"none": 0, "a": 90, "b": 9, "c": 1} {
		if got, want := seen[name], n*percent/100; got < want*7/10 || got > want*13/10 {
			t.Errorf("%s got %d of %d, want about %d", name, got, n, want)
		}
	}
}

func TestSplitOfOne(t *testing.T) {
	seen := map[mesh.Service]int{}
	rt, err := outbound.Split([]outbound.Choice{{Origin: origin("a", seen, t), Service: "a", Weight: 1}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	x := prepare(context.Background(), t, "GET", "/", nil)
	if _, err := rt.RoundTrip(x.req); err != nil || seen["a"] != 1 {
		t.Errorf("%v, %v", err, seen)
	}
}

func TestSplitRefuses(t *testing.T) {
	o := http.DefaultTransport
	for _, c := range []struct {
		name    string
		choices []outbound.Choice
		want    string
	}{
		{"nothing", nil, "no choice has a weight"},
		{"no weight", []outbound.Choice{{Origin: o, Service: "a"}}, "no choice has a weight"},
		{"negative", []outbound.Choice{{Origin: o, Service: "a", Weight: -1}}, "choice 1 (a) has the weight -1"},
		{"huge", []outbound.Choice{{Origin: o, Service: "a", Weight: 1 << 40}}, "choice 1 (a)"},
		{"no origin", []outbound.Choice{{Service: "a", Weight: 1}}, "choice 1 (a) has no origin"},
	} {
		if _, err := outbound.Split(c.choices, nil); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}
