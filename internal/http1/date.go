package http1

import (
	"net/http"
	"time"
)

// date is a second, and how the Date field has it.
type date struct {
	unix int64
	text string
}

// dateAt returns the Date of a response that is sent at now. It is made once a second.
func (s *Server) dateAt(now time.Time) string {
	unix := now.Unix()
	if d := s.date.Load(); d != nil && d.unix == unix {
		return d.text
	}
	d := &date{unix, now.UTC().Format(http.TimeFormat)}
	s.date.Store(d)
	return d.text
}
