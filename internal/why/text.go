package why

import (
	"fmt"
	"net/http"
	"strings"
)

// Text returns the answer for people: the true cause, then the way of the request.
func (a Answer) Text() string {
	var b strings.Builder
	switch {
	case len(a.Records) == 0:
		fmt.Fprintf(&b, "nothing is known of request %s: it never came here, or it is too long ago\n", a.ID)
		return b.String()
	case a.Cause == nil:
		fmt.Fprintf(&b, "request %s did not fail\n", a.ID)
	default:
		a.Cause.write(&b, a.ID)
	}
	for i := range a.Records {
		b.WriteByte('\n')
		a.Records[i].write(&b, "")
	}
	return b.String()
}

func (c *Cause) write(b *strings.Builder, id string) {
	what := c.Code
	if what == "" {
		what = fmt.Sprintf("%d %s", c.Status, http.StatusText(c.Status))
	}
	fmt.Fprintf(b, "request %s failed at the %s: %s\n  %s\n", id, c.Who, what, c.Says)
	if c.Because != "" {
		fmt.Fprintf(b, "  because of %s\n", c.Because)
	}
}

func (r *Record) write(b *strings.Builder, indent string) {
	fmt.Fprintf(b, "%s%s: %s %s%s\n", indent, r.Who, r.Method, r.Host, r.Path)
	indent += "  "
	fmt.Fprintf(b, "%s%s in %.3gms", indent, status(r.Status), r.DurationMS)
	if r.Code != "" {
		fmt.Fprintf(b, ", %s: %s", r.Code, r.Error)
	}
	b.WriteByte('\n')
	if r.Because != "" {
		fmt.Fprintf(b, "%sbecause of %s\n", indent, r.Because)
	}
	fmt.Fprintf(b, "%s%s\n", indent, strings.Join(r.facts(), ", "))
	for i := range r.Attempts {
		r.Attempts[i].write(b, indent, i+1)
	}
	for i := range r.Calls {
		r.Calls[i].write(b, indent)
	}
}

// facts lists where the request came from and what became of it.
func (r *Record) facts() []string {
	facts := []string{"client " + r.Client}
	if r.Source != "" {
		facts = append(facts, "source "+r.Source)
	}
	if r.Route != "" {
		route := "route " + r.Route
		if r.At != "" {
			route += " at " + r.At
		}
		facts = append(facts, route)
	}
	if r.Service != "" {
		facts = append(facts, "service "+r.Service)
	}
	return append(facts, r.Acts...)
}

func (a *Attempt) write(b *strings.Builder, indent string, n int) {
	to := a.Endpoint
	if to == "" {
		to = "no endpoint"
	}
	fmt.Fprintf(b, "%sattempt %d at %s, after %.3gms: ", indent, n, to, a.AfterMS)
	if a.Code == "" {
		fmt.Fprintf(b, "%s in %.3gms\n", status(a.Status), a.DurationMS)
	} else {
		fmt.Fprintf(b, "%s in %.3gms, %s\n", a.Code, a.DurationMS, a.Error)
	}
	if a.Note != "" {
		fmt.Fprintf(b, "%s  (%s)\n", indent, a.Note)
	}
	if a.Next != nil {
		a.Next.write(b, indent+"  ")
	}
}

func status(code int) string {
	if code == 0 {
		return "no answer"
	}
	return fmt.Sprint(code)
}
