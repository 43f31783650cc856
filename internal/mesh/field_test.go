package mesh_test

import (
	"net/http"
	"slices"
	"testing"

	"outrider/internal/mesh"
)

func TestSetAndAdd(t *testing.T) {
	for _, call := range []*mesh.Call{nil, mesh.NewCall(t.Context())} {
		shared := []string{"a", "b"}
		h := http.Header{"X-First": shared[:1]}
		call.Add(h, "X-First", "c")
		call.Add(h, "X-Second", "d")
		call.Set(h, "X-Third", "e")
		call.Set(h, "X-Third", "f")
		if !slices.Equal(h["X-First"], []string{"a", "c"}) || !slices.Equal(h["X-Second"], []string{"d"}) || !slices.Equal(h["X-Third"], []string{"f"}) {
			t.Errorf("%v", h)
		}
		if shared[1] != "b" {
			t.Error("a value was written into the room of another list")
		}
	}
}

func TestSettingAllocatesNothing(t *testing.T) {
	base := t.Context()
	call, h := mesh.NewCall(base), http.Header{}
	if n := testing.AllocsPerRun(200, func() {
		clear(h)
		call.Set(h, "X-First", "a")
		call.Add(h, "X-Second", "b")
		call.End(mesh.Result{})
		call.Renew(base)
	}); n != 0 {
		t.Errorf("%v allocations, the budget is 0", n)
	}
}
