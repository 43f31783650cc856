package mesh_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"outrider/internal/mesh"
)

func TestEndOf(t *testing.T) {
	shed := &mesh.Fault{Kind: mesh.Shed}
	tests := []struct {
		name      string
		cause     error
		end, gone mesh.Kind
	}{
		{"a Fault", shed, mesh.Shed, mesh.Shed},
		{"a Fault within", fmt.Errorf("while waiting: %w", shed), mesh.Shed, mesh.Shed},
		{"a Fault beside a deadline", errors.Join(context.DeadlineExceeded, shed), mesh.Shed, mesh.Shed},
		{"a deadline from outside", context.DeadlineExceeded, mesh.ResponseTimeout, mesh.ClientGone},
		{"the client", context.Canceled, mesh.ClientGone, mesh.ClientGone},
	}
	for _, tt := range tests {
		if got := mesh.EndOf(tt.cause); got.Kind != tt.end || !errors.Is(got, tt.cause) && got != shed {
			t.Errorf("%s: EndOf = %v, want %v", tt.name, got, tt.end)
		}
		if got := mesh.Gone(tt.cause); got.Kind != tt.gone {
			t.Errorf("%s: Gone = %v, want %v", tt.name, got, tt.gone)
		}
	}
}

func TestMethodsAndBodies(t *testing.T) {
	for method, want := range map[string]bool{"": true, "GET": true, "PUT": true, "DELETE": true, "POST": false, "PATCH": false, "get": false} {
		if got := mesh.Idempotent(method); got != want {
			t.Errorf("Idempotent(%q) = %v, want %v", method, got, want)
		}
	}
	for _, tt := range []struct {
		method string
		status int
		want   bool
	}{{"GET", 200, true}, {"HEAD", 200, false}, {"GET", 103, false}, {"GET", 204, false}, {"GET", 304, false}, {"POST", 500, true}} {
		if got := mesh.HasBody(tt.method, tt.status); got != tt.want {
			t.Errorf("HasBody(%s, %d) = %v, want %v", tt.method, tt.status, got, tt.want)
		}
	}
}
