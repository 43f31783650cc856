package policy

import (
	"crypto/sha256"
	"net/http"
	"net/url"
	"testing"
	"time"

	"outrider/internal/mesh"
)

// An answer that comes between a caller's look at what is remembered and its
// joining of a check is taken, and nobody is asked again.
func TestAuthTakesAnAnswerThatCameMeanwhile(t *testing.T) {
	a, err := NewAuth(AuthConfig{
		URL: &url.URL{Scheme: "http", Host: "auth-service"},
		Origin: mesh.RoundTripFunc(func(*http.Request) (*http.Response, error) {
			t.Error("the service was asked")
			return nil, &mesh.Fault{}
		}),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(a.Close)
	key := sha256.Sum256([]byte("token"))
	id := &identity{subject: "u1"}
	a.cache.put(key, id, time.Minute)
	c, own := a.join(key, "token", &mesh.Call{})
	if own || !c.settled() || c.id != id {
		t.Errorf("got %+v, own %v; want the answer that is there", c.answer, own)
	}
}
