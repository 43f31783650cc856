package bridge

import (
	"iter"
	"net/http"
	"strconv"
	"strings"
)

// hopFields belong to one connection (RFC 9110, section 7.6.1). TE is kept where
// it says trailers, and Upgrade where the upgrade is genuine.
var hopFields = [...]string{
	"Connection", "Keep-Alive", "Proxy-Connection", "Te", "Transfer-Encoding", "Upgrade",
	"Proxy-Authorization", "Proxy-Authenticate", "Proxy-Authentication-Info", "Http2-Settings",
}

// isHop reports whether name is one of hopFields.
func isHop(name string) bool {
	switch name {
	case "Connection", "Keep-Alive", "Proxy-Connection", "Te", "Transfer-Encoding", "Upgrade",
		"Proxy-Authorization", "Proxy-Authenticate", "Proxy-Authentication-Info", "Http2-Settings":
		return true
	}
	return false
}

// fewFields is up to how many fields it is cheaper to look at each of them than to ask
// for each of hopFields.
const fewFields = 8

// Hops holds the rules for header fields that must not travel further than one
// connection. It is never changed after NewHops.
type Hops struct {
	keep   Names // what no Connection field can remove
	framed Names // what has no place in a trailer section, or is ours to say
}

// NewHops returns the rules. A Connection field cannot remove what later hops
// rely on: framing, credentials, the Forwarded family and the names in protected.
// "Connection: X-Forwarded-For" is how a client hides from them.
func NewHops(protected []string) Hops {
	keep := append([]string{
		"Host", "Content-*", "Authorization", "Cookie", "Set-Cookie", "Cache-Control", "Date", "Vary", "Age",
		"Expect", "Max-Forwards", "Origin", "Trailer", "Via", "Forwarded", "X-Forwarded-*", "X-Real-Ip",
		"X-Request-Id", "X-Outrider-*", "X-Gateway-*", "Sec-*", "Grpc-*", "Traceparent", "Tracestate",
		"Access-Control-*", "Strict-Transport-Security", "Www-Authenticate",
	}, protected...)
	// RFC 9110, section 6.5.1: framing, routing, authentication, content format.
	framed := append(hopFields[:len(hopFields):len(hopFields)],
		"Host", "Content-Length", "Content-Type", "Content-Encoding", "Content-Range", "Authorization", "Cookie",
		"Set-Cookie", "Cache-Control", "Expect", "Max-Forwards", "Trailer", "Via", "Www-Authenticate",
		// Many merge trailers into the header: these would speak in our name.
		"X-Request-Id", "RateLimit*", "X-RateLimit*", "Proxy-Status", "Cache-Status")
	return Hops{keep: NewNames(keep...), framed: NewNames(append(framed, protected...)...)}
}

// Strip removes the fields that belong to one connection, and those that its
// Connection field names. "TE: trailers" stays: gRPC cannot do without it.
func (h *Hops) Strip(header http.Header) {
	var connection []string
	if len(header) <= fewFields {
		for name, values := range header {
			if isHop(name) {
				drop(header, name, values)
				if name == "Connection" {
					connection = values
				}
			}
		}
	} else {
		connection = header["Connection"]
		for _, name := range hopFields {
			if values, ok := header[name]; ok { // asking is cheaper than deleting, and most are not there
				drop(header, name, values)
			}
		}
	}
	for name := range tokens(connection) {
		if !usual(name) && !h.keep.Has(name) {
			header.Del(name)
		}
	}
}

// drop removes a field that belongs to one connection.
func drop(header http.Header, name string, values []string) {
	switch {
	case name != "Te" || !hasToken(values, trailers):
		delete(header, name)
	case len(values) > 1 || values[0] != trailers:
		header[name] = []string{trailers}
	}
}

// trailers is what TE may say to the next hop.
const trailers = "trailers"

// usual reports whether a Connection option is one of those that nearly every
// message has: no names of fields, or of such as Strip removes anyway.
func usual(option string) bool {
	if option == "keep-alive" || option == "close" {
		return true
	}
	for _, name := range [...]string{"keep-alive", "close", "upgrade", "te"} {
		if folds(option, name) {
			return true
		}
	}
	return false
}

// StripTrailer removes from a trailer section what must not stand in one (RFC
// 9110, section 6.5.1), what we say in the header, and the protected names.
func (h *Hops) StripTrailer(trailer http.Header) {
	for name := range trailer {
		if h.framed.Has(name) {
			delete(trailer, name)
		}
	}
}

// spend takes one from the Max-Forwards of an OPTIONS request, and reports whether
// it may go on (RFC 9110, section 7.6.2). A value that is no number is removed.
func spend(header http.Header) bool {
	values, ok := header["Max-Forwards"]
	if !ok {
		return true
	}
	left, err := strconv.ParseUint(values[0], 10, 32)
	switch {
	case err != nil || len(values) > 1:
		delete(header, "Max-Forwards")
	case left == 0:
		return false
	default:
		header["Max-Forwards"] = []string{strconv.FormatUint(left-1, 10)}
	}
	return true
}

// Upgrade returns the protocols that req offers to switch to, as its Upgrade
// field has them, or "" where it offers none (RFC 9110, section 7.8). Other
// versions of HTTP and TLS are left out: who speaks them over our connection
// passes every rule unseen.
func Upgrade(req *http.Request) string {
	if req.ProtoMajor != 1 || req.ProtoMinor < 1 || !hasToken(req.Header["Connection"], "upgrade") {
		return ""
	}
	var offers []string
	for protocol := range tokens(req.Header["Upgrade"]) {
		name, _, _ := strings.Cut(strings.ToLower(protocol), "/")
		switch name {
		case "h2c", "h2", "h3", "http", "tls":
		default:
			offers = append(offers, protocol)
		}
	}
	return strings.Join(offers, ", ")
}

// setUpgrade marks header as one of a switch to protocols.
func setUpgrade(header http.Header, protocols string) {
	header["Connection"] = []string{"Upgrade"}
	header["Upgrade"] = []string{protocols}
}

// tokens yields the members of a comma-separated field.
func tokens(values []string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for _, value := range values {
			for more := true; more; {
				var token string
				token, value, more = strings.Cut(value, ",") // SplitSeq would allocate
				if token = strings.Trim(token, " \t"); token != "" && !yield(token) {
					return
				}
			}
		}
	}
}

// hasToken reports whether a comma-separated field has the member want,
// disregarding case and parameters.
func hasToken(values []string, want string) bool {
	for token := range tokens(values) {
		name, _, _ := strings.Cut(token, ";")
		if folds(strings.TrimRight(name, " \t"), want) {
			return true
		}
	}
	return false
}

// folds reports whether s is want but for the case of ASCII letters. Unicode has others
// that fold into them, such as the Kelvin sign, which the next hop does not take for a k:
// strings.EqualFold is not for protocols.
func folds(s, want string) bool {
	if len(s) != len(want) {
		return false
	}
	for i := range len(s) {
		if lower(s[i]) != lower(want[i]) {
			return false
		}
	}
	return true
}

func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c | 0x20
	}
	return c
}
