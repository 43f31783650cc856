package explain

import (
	"fmt"
	"strings"
	"text/tabwriter"
)

// Text returns the reports for people.
func (a Answer) Text() string {
	var b strings.Builder
	for i := range a.Reports {
		if i > 0 {
			b.WriteByte('\n')
		}
		a.Reports[i].write(&b)
	}
	return b.String()
}

func (r *Report) write(b *strings.Builder) {
	fmt.Fprintf(b, "%s %s%s from %s, %s\n", r.Method, r.Host, r.Path, r.Client, r.Direction)
	fmt.Fprintf(b, "  %s\n", r.Verdict)
	if r.From != "" {
		fmt.Fprintf(b, "  because of %s\n", r.From)
	}
	if r.Route != nil || len(r.Others) > 0 {
		b.WriteByte('\n')
		r.writeRoutes(b)
	}
	if len(r.Layers) > 0 {
		b.WriteString("\nlayers\n")
		writeLayers(b, r.Layers)
	}
	for i := range r.Services {
		r.Services[i].write(b)
	}
}

func (r *Report) writeRoutes(b *strings.Builder) {
	w := tabwriter.NewWriter(b, 0, 0, 2, ' ', 0)
	if r.Route != nil {
		fmt.Fprintf(w, "route\t%s\t%s\t%s\n", r.Route.Name, r.Route.From, r.Route.Key)
	}
	for _, o := range r.Others {
		fmt.Fprintf(w, "  not\t%s\t%s\t%s\n", o.Name, o.From, o.reason())
	}
	_ = w.Flush() // a Builder does not fail
}

// reason says why the rule does not match.
func (o Other) reason() string {
	switch {
	case o.Failed == "rank":
		return "comes after the one that matches"
	case o.Got == "":
		return fmt.Sprintf("%s: wants %s, and there is none", o.Failed, o.Want)
	}
	return fmt.Sprintf("%s: wants %s, got %s", o.Failed, o.Want, o.Got)
}

func writeLayers(b *strings.Builder, layers []Layer) {
	w := tabwriter.NewWriter(b, 0, 0, 2, ' ', 0)
	for _, l := range layers {
		fmt.Fprintf(w, "  %s\t%s\t%s\n", l.Name, l.Does, l.Says)
		for _, s := range l.Settings {
			fmt.Fprintf(w, "  \t\t  %s %s, %s\n", s.Name, s.Value, s.source())
		}
	}
	_ = w.Flush()
}

// source says who set the value.
func (s Setting) source() string {
	if s.Key == "" || s.Key == s.Name {
		return s.From
	}
	return s.From + " (" + s.Key + ")"
}

// mostEndpoints bounds how many the text lists; JSON has them all.
const mostEndpoints = 50

func (s *Service) write(b *strings.Builder) {
	fmt.Fprintf(b, "\nservice %s", s.Name)
	if s.Share < 1 {
		fmt.Fprintf(b, ", %.4g %% of the requests", 100*s.Share)
	}
	fmt.Fprintf(b, ": %s\n", s.Verdict)
	writeLayers(b, s.Layers)
	if len(s.Endpoints) == 0 {
		return
	}
	w := tabwriter.NewWriter(b, 0, 0, 2, ' ', 0)
	fmt.Fprint(w, "  endpoint\tstate\tbreaker\tin flight\tlatency\tcost\t\n")
	for i, e := range s.Endpoints {
		if i == mostEndpoints {
			fmt.Fprintf(w, "  and %d more\t\t\t\t\t\t\n", len(s.Endpoints)-i)
			break
		}
		address := e.Address
		if e.Zone != "" {
			address += " (" + e.Zone + ")"
		}
		fmt.Fprintf(w, "  %s\t%s\t%s\t%d\t%s\t%s\t%s\n", address, e.State, orDash(e.Breaker), e.InFlight,
			milliseconds(e.LatencyMS), milliseconds(e.CostMS), e.chance())
	}
	_ = w.Flush()
}

// chance says whether the request would go there.
func (e Endpoint) chance() string {
	word := "would do"
	switch {
	case !e.Takes:
		word = "not picked"
	case e.Next:
		word = "next"
	}
	if e.Why == "" {
		return word
	}
	return word + ": " + e.Why
}

func milliseconds(ms float64) string {
	if ms == 0 {
		return "-"
	}
	return fmt.Sprintf("%.3gms", ms)
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}
