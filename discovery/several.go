package discovery

import (
	"context"
	"sync"

	"outrider/internal/mesh"

	"golang.org/x/sync/errgroup"
)

// Several is the union of its resolvers' sets, in their order. Of endpoints with
// one ID the first counts.
type Several []Resolver

var _ Resolver = Several(nil)

// Watch passes the first union when every resolver has answered. When one of them
// can never go on, neither can Several.
func (r Several) Watch(ctx context.Context, s mesh.Service, update func([]mesh.Endpoint)) error {
	if len(r) == 0 {
		return Static(nil).Watch(ctx, s, update)
	}
	u := &union{sets: make([][]mesh.Endpoint, len(r)), silent: len(r), update: update}
	g, ctx := errgroup.WithContext(ctx)
	for i, resolver := range r {
		answered := false
		g.Go(func() error {
			return resolver.Watch(ctx, s, func(set []mesh.Endpoint) {
				u.set(i, set, !answered)
				answered = true
			})
		})
	}
	return g.Wait()
}

// union is the state of one Watch of Several.
type union struct {
	update func([]mesh.Endpoint)

	mu     sync.Mutex // protects all below, and keeps calls of update apart
	sets   [][]mesh.Endpoint
	silent int // resolvers that have not answered yet
}

func (u *union) set(i int, set []mesh.Endpoint, first bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.sets[i] = set
	if first {
		u.silent--
	}
	if u.silent > 0 {
		return
	}
	var all []mesh.Endpoint
	seen := map[string]bool{}
	for _, set := range u.sets {
		for _, e := range set {
			if !seen[e.ID] {
				seen[e.ID] = true
				all = append(all, e)
			}
		}
	}
	u.update(all)
}
