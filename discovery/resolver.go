package discovery

import (
	"context"
	"slices"

	"outrider/internal/mesh"
)

// Resolver watches one service.
type Resolver interface {
	// Watch passes the full set at once and on every change. It blocks until ctx
	// ends, or until it can never go on; its error is never nil. Calls of update
	// do not overlap, and none comes after Watch has returned. The set is update's
	// to keep.
	Watch(ctx context.Context, s mesh.Service, update func([]mesh.Endpoint)) error
}

// Static is a set that never changes.
type Static []mesh.Endpoint

var _ Resolver = Static(nil)

// Watch passes the set once.
func (r Static) Watch(ctx context.Context, _ mesh.Service, update func([]mesh.Endpoint)) error {
	update(slices.Clone(r))
	<-ctx.Done()
	return context.Cause(ctx)
}
