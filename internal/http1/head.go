package http1

import (
	"bytes"
	"net/http"
	"net/url"
)

// head is the memory that messages are parsed into, one after the other: what it
// lends to a message is the next one's. The zero head is ready for use.
type head struct {
	header  http.Header // lent to the message
	trailer http.Header // lent to a message that announces trailer fields
	url     url.URL     // lent to a request
	values  []string    // of header, each a slice of one, or of a name's values
	lines   []line

	fields     int // field lines of header
	fieldBytes int // their size: names and values with ": " and line ends

	said said
}

// line is a field line: where in the head its name and value are.
type line struct {
	name, nameEnd, value, valueEnd int32
	known                          uint8 // index into known, or 0
}

// said is what the fields that concern the parser say.
type said struct {
	host, length, coding, expect string
	hosts, lengths, codings      int
	expects                      int
	closes, keeps                bool
	upgrades, upgrade            bool // Connection says upgrade; there is an Upgrade
	trailers                     int
}

// begin forgets the message before.
func (h *head) begin() {
	if h.header == nil {
		h.header = make(http.Header)
	}
	clear(h.header)
	h.url, h.said = url.URL{}, said{}
	h.fields, h.fieldBytes = 0, 0
}

// fieldLines parses the field lines of b from at on, to its empty line. It puts
// unknown names into canonical form, in b itself.
func (h *head) fieldLines(b []byte, at int) flaw {
	h.lines = h.lines[:0]
	for {
		i := bytes.IndexByte(b[at:], '\n')
		if i < 1 || b[at+i-1] != '\r' {
			return bareLF
		}
		end := at + i - 1
		if end == at {
			return sound
		}
		l, f := parseLine(b, at, end)
		if f != sound {
			return f
		}
		h.lines = append(h.lines, l)
		at = end + len("\r\n")
	}
}

// parseLine parses the field line b[at:end].
func parseLine(b []byte, at, end int) (line, flaw) {
	colon := at
	for colon < end && classes[b[colon]]&tokenByte != 0 {
		colon++
	}
	switch {
	case colon == end || colon == at || b[colon] != ':':
		return line{}, misnamed(b[at:end])
	case !clean(b[colon+1 : end]):
		if bytes.IndexByte(b[colon+1:end], '\r') >= 0 {
			return line{}, bareCR
		}
		return line{}, badValue
	}
	name := b[at:colon]
	known := intern(name)
	if known == 0 {
		canonical(name)
	}
	from, to := trim(b, colon+1, end)
	return line{int32(at), int32(colon), int32(from), int32(to), known}, sound
}

// misnamed says what is wrong with a line that does not begin with a name.
func misnamed(b []byte) flaw {
	switch {
	case b[0] == ' ' || b[0] == '\t':
		return folded
	case bytes.IndexByte(b, '\r') >= 0:
		return bareCR
	}
	return badName
}

// fill puts the lines of the head whose text is s into the header. Host and
// Transfer-Encoding, which are not the layers' matter, stay out of it.
func (h *head) fill(s string) {
	if n := 2 * len(h.lines); cap(h.values) < n { // the half for repeated names
		h.values = make([]string, n)
	}
	values := h.values[:len(h.lines)]
	for i := range h.lines {
		l := &h.lines[i]
		value := s[l.value:l.valueEnd]
		if l.known != 0 && l.known <= uint8(heeded) && h.heed(id(l.known), value) {
			continue
		}
		values[h.fields] = value
		h.header[l.text(s)] = values[h.fields : h.fields+1 : h.fields+1]
		h.fields++
		h.fieldBytes += int(l.nameEnd-l.name+l.valueEnd-l.value) + len(": \r\n")
	}
	if len(h.header) < h.fields {
		h.gather(s)
	}
}

// text returns the name of the line.
func (l *line) text(s string) string {
	if l.known != 0 {
		return known[l.known]
	}
	return s[l.name:l.nameEnd]
}

// heed notes what a field says that concerns the parser, and reports whether it
// has no place in the header.
func (h *head) heed(i id, value string) bool {
	d := &h.said
	switch i {
	case idHost:
		d.host, d.hosts = value, d.hosts+1
		return true
	case idTransferEncoding:
		d.coding, d.codings = value, d.codings+1
		return true
	case idContentLength:
		d.length, d.lengths = value, d.lengths+1
	case idConnection:
		d.closes = d.closes || option(value, "close")
		d.keeps = d.keeps || option(value, "keep-alive")
		d.upgrades = d.upgrades || option(value, "upgrade")
	case idExpect:
		d.expect, d.expects = value, d.expects+1
	case idTrailer:
		d.trailers++
	case idUpgrade:
		d.upgrade = true
	}
	return false
}

// gather fills the header anew where a name occurs more than once. In the first
// round a name's slice counts its values; in the second, where it is met first,
// it gets room for so many. Each round is linear in the number of lines.
func (h *head) gather(s string) {
	clear(h.header)
	pad := h.values[:2*len(h.lines)][len(h.lines):]
	for i := range h.lines {
		if l := &h.lines[i]; !l.kept() {
			name := l.text(s)
			h.header[name] = pad[:len(h.header[name])+1]
		}
	}
	next := 0
	for i := range h.lines {
		l := &h.lines[i]
		if l.kept() {
			continue
		}
		name := l.text(s)
		values := h.header[name]
		if &values[0] == &pad[0] {
			n := len(values)
			values = h.values[next : next : next+n]
			next += n
		}
		h.header[name] = append(values, s[l.value:l.valueEnd])
	}
}

// kept reports whether the line stays out of the header.
func (l *line) kept() bool {
	return id(l.known) == idHost || id(l.known) == idTransferEncoding
}

// drop takes a field out of the header after all.
func (h *head) drop(name string) {
	for _, value := range h.header[name] {
		h.fields--
		h.fieldBytes -= len(name) + len(value) + len(": \r\n")
	}
	delete(h.header, name)
}

// announce takes the Trailer fields of a chunked message out of the header, and
// returns the trailer that they announce: names without values; nil for none.
func (h *head) announce() (http.Header, flaw) {
	if h.said.trailers == 0 {
		return nil, sound
	}
	if h.trailer == nil {
		h.trailer = make(http.Header)
	}
	clear(h.trailer)
	for _, list := range h.header["Trailer"] {
		if f := announced(h.trailer, list); f != sound {
			return nil, f
		}
	}
	h.drop("Trailer")
	if len(h.trailer) == 0 {
		return nil, sound
	}
	return h.trailer, sound
}
