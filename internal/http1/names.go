package http1

// id stands for a field name that the parser itself looks at.
type id uint8

const (
	other id = iota
	idHost
	idContentLength
	idTransferEncoding
	idConnection
	idExpect
	idTrailer
	idUpgrade
	idKeepAlive
	idProxyConnection
)

// heeded is the last id of a field that fill looks at.
const heeded = idUpgrade

// ours reports whether a field is one that only the engine writes: it frames a
// message, or tells of one connection. No other has an id, but for Expect.
func (i id) ours() bool { return other < i && i <= idProxyConnection && i != idExpect }

// framing reports whether a field frames a message: it comes too late in a trailer
// section.
func (i id) framing() bool { return i == idContentLength || i == idTransferEncoding || i == idTrailer }

// known lists the names that most messages have. The first are those with an id,
// in its order.
var known = [...]string{
	"", "Host", "Content-Length", "Transfer-Encoding", "Connection", "Expect", "Trailer", "Upgrade",
	"Keep-Alive", "Proxy-Connection",
	"Accept", "Accept-Charset", "Accept-Encoding", "Accept-Language", "Accept-Patch", "Accept-Ranges",
	"Access-Control-Allow-Credentials", "Access-Control-Allow-Headers", "Access-Control-Allow-Methods",
	"Access-Control-Allow-Origin", "Access-Control-Expose-Headers", "Access-Control-Max-Age",
	"Access-Control-Request-Headers", "Access-Control-Request-Method", "Age", "Allow", "Alt-Svc",
	"Authorization", "B3", "Baggage", "Cache-Control", "Cache-Status", "Cdn-Cache-Control", "Cf-Connecting-Ip",
	"Cf-Ray", "Clear-Site-Data", "Content-Disposition", "Content-Encoding", "Content-Language",
	"Content-Location", "Content-Range", "Content-Security-Policy", "Content-Type", "Cookie",
	"Cross-Origin-Embedder-Policy", "Cross-Origin-Opener-Policy", "Cross-Origin-Resource-Policy", "Date", "Dnt",
	"Early-Data", "Etag", "Expires", "Forwarded", "From", "Grpc-Accept-Encoding", "Grpc-Encoding",
	"Grpc-Message", "Grpc-Status", "Grpc-Timeout", "Http2-Settings", "Idempotency-Key", "If-Match",
	"If-Modified-Since", "If-None-Match", "If-Range", "If-Unmodified-Since", "Last-Event-Id",
	"Last-Modified", "Link", "Location", "Max-Forwards", "Mime-Version", "Origin", "Permissions-Policy", "Pragma",
	"Prefer", "Priority", "Proxy-Authenticate", "Proxy-Authorization", "Proxy-Status",
	"Range", "Ratelimit", "Ratelimit-Limit", "Ratelimit-Policy", "Ratelimit-Remaining", "Ratelimit-Reset",
	"Referer", "Referrer-Policy", "Retry-After", "Sec-Ch-Ua", "Sec-Ch-Ua-Mobile", "Sec-Ch-Ua-Platform",
	"Sec-Fetch-Dest", "Sec-Fetch-Mode", "Sec-Fetch-Site", "Sec-Fetch-User", "Sec-Gpc", "Sec-Websocket-Accept",
	"Sec-Websocket-Extensions", "Sec-Websocket-Key", "Sec-Websocket-Protocol", "Sec-Websocket-Version", "Server",
	"Server-Timing", "Set-Cookie", "Strict-Transport-Security", "Te", "Timing-Allow-Origin", "Traceparent",
	"Tracestate", "Upgrade-Insecure-Requests", "User-Agent", "Vary", "Via", "Warning", "Www-Authenticate",
	"X-Api-Key", "X-B3-Parentspanid", "X-B3-Sampled", "X-B3-Spanid", "X-B3-Traceid", "X-Cache",
	"X-Content-Type-Options", "X-Correlation-Id", "X-Csrf-Token", "X-Dns-Prefetch-Control",
	"X-Envoy-Upstream-Service-Time", "X-Forwarded-Client-Cert", "X-Forwarded-For", "X-Forwarded-Host",
	"X-Forwarded-Port", "X-Forwarded-Proto", "X-Frame-Options", "X-Powered-By", "X-Ratelimit-Limit",
	"X-Ratelimit-Remaining", "X-Ratelimit-Reset", "X-Real-Ip", "X-Request-Id", "X-Requested-With",
	"X-Response-Time", "X-User-Id", "X-Xss-Protection",
}

// nameSlots is a power of two, and large enough that few names share a slot.
const nameSlots = 1024

// nameTable finds known names: open addressing, an index into known in each slot.
var nameTable = spread()

func spread() (t [nameSlots]uint8) {
	for i, name := range known {
		if name == "" {
			continue
		}
		slot := slotOf([]byte(name))
		for t[slot] != 0 {
			slot = (slot + 1) % nameSlots
		}
		t[slot] = uint8(i)
	}
	return t
}

// slotOf disregards case, as it needs to for letters and hyphens alone.
func slotOf(name []byte) uint32 {
	n := len(name)
	h := uint32(n)
	h = h*31 + uint32(name[0]|0x20)
	h = h*31 + uint32(name[n/2]|0x20)
	h = h*31 + uint32(name[n-1]|0x20)
	h = h*31 + uint32(name[n/4*3]|0x20)
	return (h ^ h>>10) % nameSlots
}

// intern returns the index into known of a name, however its letters are cased; 0
// where it is not known. The name must not be empty.
func intern(name []byte) uint8 {
	for slot := slotOf(name); ; slot = (slot + 1) % nameSlots {
		i := nameTable[slot]
		if i == 0 || same(known[i], name) {
			return i
		}
	}
}

// same reports whether name is the known name, disregarding case.
func same(known string, name []byte) bool {
	if known == string(name) {
		return true
	}
	if len(known) != len(name) {
		return false
	}
	for i, c := range name {
		k := known[i]
		if k != c && (k|0x20 != c|0x20 || k|0x20 < 'a' || 'z' < k|0x20) {
			return false
		}
	}
	return true
}

// canonical changes name into canonical form, in place: as net/http has it, the
// first letter and those after hyphens are capitals.
func canonical(name []byte) {
	upper := true
	for i, c := range name {
		switch {
		case upper && 'a' <= c && c <= 'z', !upper && 'A' <= c && c <= 'Z':
			name[i] = c ^ 0x20
		}
		upper = c == '-'
	}
}
