package telemetry

import (
	"hash/maphash"
	"sync"

	"outrider/internal/mesh"
	"outrider/internal/tracecontext"
)

const (
	handedShards = 64
	maxHanded    = 512 // requests that a shard remembers
)

// Handed remembers, for as long as the app is answering a request, with which span it
// was given that request. An app that copies nothing but X-Request-ID onto the calls
// that it makes meanwhile then still yields one trace. It is bounded: past 32768
// requests at a time, further ones are not remembered.
type Handed struct {
	seed   maphash.Seed
	shards [handedShards]handedShard
}

type handedShard struct {
	mu   sync.Mutex // protects all below
	n    int
	byID map[string]*handing // the newest of each X-Request-ID
}

// handing is one request that the app was given.
type handing struct {
	span  tracecontext.Context
	older *handing // of the same X-Request-ID
}

// NewHanded returns a Handed that remembers nothing yet.
func NewHanded() *Handed {
	h := &Handed{seed: maphash.MakeSeed()}
	for i := range h.shards {
		h.shards[i].byID = map[string]*handing{}
	}
	return h
}

func (h *Handed) shard(id string) *handedShard {
	return &h.shards[maphash.String(h.seed, id)%handedShards]
}

// put remembers a span until what it returns is called; nil where there is no room, or
// nothing to know it by.
func (h *Handed) put(id string, span tracecontext.Context) func(mesh.Result) {
	if id == "" {
		return nil
	}
	s := h.shard(id)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.n >= maxHanded {
		return nil
	}
	one := &handing{span, s.byID[id]}
	s.byID[id] = one
	s.n++
	return func(mesh.Result) { s.forget(id, one) }
}

func (s *handedShard) forget(id string, one *handing) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.n--
	if s.byID[id] == one {
		if one.older == nil {
			delete(s.byID, id)
		} else {
			s.byID[id] = one.older
		}
		return
	}
	for newer := s.byID[id]; newer != nil; newer = newer.older {
		if newer.older == one {
			newer.older = one.older
			return
		}
	}
}

// find returns the span with which the app was given the request of that
// X-Request-ID. Of several at a time, which a caller that fans out makes, it is the one
// that said names, else the newest of its trace. A call that names no trace is mended
// only where all of them belong to one.
func (h *Handed) find(id string, said tracecontext.Context) (tracecontext.Context, bool) {
	s := h.shard(id)
	s.mu.Lock()
	defer s.mu.Unlock()
	newest := s.byID[id]
	if newest == nil {
		return tracecontext.Context{}, false
	}
	best := newest.span
	for one := newest; one != nil; one = one.older {
		switch {
		case !said.Valid():
			if one.span.Trace != best.Trace {
				return tracecontext.Context{}, false
			}
		case one.span.Trace == said.Trace && one.span.Span == said.Span:
			return one.span, true
		case one.span.Trace == said.Trace && best.Trace != said.Trace:
			best = one.span
		}
	}
	return best, true
}
