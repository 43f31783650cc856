package mesh

import "iter"

// Act is something that a layer did to a call and that its end alone does not show. A
// Call has a set of them.
type Act uint32

// The acts.
const (
	Preflight     Act = 1 << iota // CORS answered it
	LimitPassed                   // a rate limit let it through
	AuthCached                    // its token was judged by an answer remembered
	AuthAsked                     // the authentication service was asked about its token
	CacheHit                      // the cache answered it
	CacheMiss                     // the cache had nothing that would do
	CacheBypass                   // it was none for the cache
	Direct                        // a redirect or a direct response answered it
	NoBudget                      // an attempt was not repeated: the retry budget was spent
	NoReplay                      // an attempt was not repeated: the body cannot be sent again
	NoTime                        // an attempt was not repeated: the wait would outlast the deadline
	NotIdempotent                 // an attempt was not repeated: the method may do harm twice
)

// words are those of each act, in their order.
var words = [...]string{
	"preflight answered", "rate limit passed", "token known", "auth service asked",
	"cache hit", "cache miss", "cache passed by", "answered directly",
	"not repeated: the retry budget was spent", "not repeated: the body cannot be sent again",
	"not repeated: the wait would outlast the deadline", "not repeated: the method may do harm twice",
}

// All yields each act of the set in words.
func (a Act) All() iter.Seq[string] {
	return func(yield func(string) bool) {
		for i, word := range words {
			if a&(1<<i) != 0 && !yield(word) {
				return
			}
		}
	}
}
