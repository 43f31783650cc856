package outbound

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"net/http"

	"outrider/internal/mesh"
)

// Choice is one part of a split.
type Choice struct {
	Origin  http.RoundTripper
	Service mesh.Service // becomes the call's Service
	Weight  int          // share of the requests relative to the others; zero gets none
}

// Split returns the layer's origin that sends each request to one of the choices at
// random by weight, and writes the call's Service. It stands above everything that
// belongs to one service. Rand returns 64 random bits and is called at once by
// many; nil means math/rand/v2. The error says which choice makes no sense.
func Split(choices []Choice, random func() uint64) (http.RoundTripper, error) {
	if random == nil {
		random = rand.Uint64
	}
	s := &split{random: random}
	for i, c := range choices {
		if c.Origin == nil {
			return nil, fmt.Errorf("split: choice %d (%s) has no origin", i+1, c.Service)
		}
		if c.Weight < 0 || c.Weight > math.MaxInt32 {
			return nil, fmt.Errorf("split: choice %d (%s) has the weight %d, which is not between 0 and %d", i+1, c.Service, c.Weight, math.MaxInt32)
		}
		if c.Weight == 0 {
			continue
		}
		s.total += uint64(c.Weight)
		s.choices = append(s.choices, c)
		s.upTo = append(s.upTo, s.total)
	}
	if s.total == 0 {
		return nil, errors.New("split: no choice has a weight")
	}
	return s, nil
}

type split struct {
	choices []Choice
	upTo    []uint64 // running sums of the weights
	total   uint64
	random  func() uint64
}

// RoundTrip sends req to one of the choices.
func (s *split) RoundTrip(req *http.Request) (*http.Response, error) {
	c := s.pick()
	mesh.From(req).Service = c.Service
	return c.Origin.RoundTrip(req)
}

func (s *split) pick() *Choice {
	if len(s.choices) == 1 {
		return &s.choices[0]
	}
	n := s.random() % s.total // the bias is below 2^-32 for any sum of weights that occurs
	for i := range s.upTo {
		if n < s.upTo[i] {
			return &s.choices[i]
		}
	}
	return &s.choices[len(s.choices)-1]
}
