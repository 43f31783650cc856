// Package cache keeps answers and gives them again, as a shared cache of RFC 9111
// that chooses, wherever the RFC leaves a choice, not to store.
//
//	shared := cache.New(cache.Config{TTL: 5 * time.Minute, MaxBytes: 64 << 20})
//	stack := mesh.Stack(origin, shared.Layer())
//
// Position: below authorisation, so that a hit leaks nothing; below the envelope,
// so that what is kept is the service's own answer; above split, timeout and retry,
// so that a hit costs no attempt.
//
// # What is kept
//
// Answers to GET whose freshness the origin states (s-maxage, max-age, Expires)
// and, for Config.TTL, those of status 200, 203, 301 and 308 where it says nothing.
// HEAD is answered from a kept GET. Whatever one of these touches passes by, is not
// kept and not answered from what is kept:
//
//   - a request that speaks for somebody (a Call that is Personal or has a Subject,
//     whatever a layer above removed since; Authorization, Cookie, X-Api-Key,
//     X-Auth-Token), wants a part (Range, If-Match, If-Unmodified-Since), wants
//     another protocol (Upgrade), carries a body, or overrides its method or target
//     by a field; X_Api_Key is X-Api-Key;
//   - a response with Set-Cookie, Vary: *, private, no-store, no-cache, Content-Range
//     or trailers, an event stream, one that is longer than MaxBody, and one that
//     breaks off.
//
// The key is the cache's Scope, the service's name and the target URI as the layer
// meets it, with the X-Forwarded fields that services build links from: otherwise
// one client's X-Forwarded-Proto would redirect all the others. A change of the
// resource through this proxy (a method that is not safe, answered without an error)
// removes its entries, and keeps answers that were under way at that time from being
// kept.
//
// # How
//
// A body is copied while the client reads it: nothing waits, and a client that
// leaves early leaves nothing behind. What a Store holds is bounded by
// Config.MaxBytes, headers and keys counted; copies in the making are bounded by as
// much again. Every response says in Cache-Status (RFC 9211) what the cache did; its
// member "stored" means that the copy has begun.
//
// # Never
//
// The package never answers with anything stale, never revalidates by itself, never
// holds a request back for another, and starts no goroutine.
package cache
