package why

import (
	"errors"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"outrider/internal/mesh"
)

// How many requests are kept.
const (
	latest = 4096 // of all
	marked = 1024 // of those that failed, were slow or took several attempts
)

// slow is how long a request takes that is kept for longer.
const slow = time.Second

// maxFound bounds how many records one ID has: whoever may choose IDs may give one to
// many requests.
const maxFound = 32

// Config says what one listener's records have in common.
type Config struct {
	Hop       string // pseudonym of the listener, as it stands in Via
	Who       string // the same for people, such as "inbound of orders"
	Direction string // ingress, inbound or outbound
	File      string // of the configuration

	// Because returns the setting that is responsible for a fault, or without one for a
	// failure that was not repeated; empty where none is or it is not known. It is asked
	// once for each. Nil knows none.
	Because func(*mesh.Call, *mesh.Fault) string
}

// Ring keeps the latest records. It is safe for concurrent use.
type Ring struct {
	latest, marked shelf
	spare          sync.Pool // of *entry
}

// NewRing returns an empty Ring.
func NewRing() *Ring {
	r := &Ring{latest: newShelf(latest), marked: newShelf(marked)}
	r.spare.New = func() any { return &entry{ring: r} }
	return r
}

// shelf is a ring of entries, the oldest giving way.
type shelf struct {
	next  atomic.Uint64
	slots []slot
}

type slot struct {
	mu    sync.Mutex // protects entry, and its content against being used anew
	entry *entry
}

func newShelf(n int) shelf { return shelf{slots: make([]slot, n)} }

// put keeps e, and returns the entry that gave way for it.
func (s *shelf) put(e *entry) (old *entry) {
	at := &s.slots[s.next.Add(1)%uint64(len(s.slots))]
	at.mu.Lock()
	defer at.mu.Unlock()
	old, at.entry = at.entry, e
	return old
}

// Layer returns the layer that notes each request of a listener. It stands above all
// that may decide something, and below nothing that does.
func (r *Ring) Layer(c Config) mesh.Layer {
	return func(next http.RoundTripper) http.RoundTripper {
		return mesh.RoundTripFunc(func(req *http.Request) (*http.Response, error) {
			if call := mesh.From(req); call != nil {
				e, _ := r.spare.Get().(*entry)
				e.begin(&c, call, req)
				call.AtEnd(e)
			}
			return next.RoundTrip(req)
		})
	}
}

// id returns the request's ID.
func (e *entry) id() []byte { return e.text[e.ends[texts-1]:] }

// Bounds of a record's texts, in bytes, and of its attempts, of which the last are
// kept.
const (
	maxID       = 128
	maxMethod   = 32
	maxHost     = 255
	maxPath     = 512
	maxName     = 256
	maxError    = 512
	maxAttempts = 8
)

// entry is a record in the making, and then one kept. Its room is used again.
type entry struct {
	ring *Ring

	config *Config
	call   *mesh.Call // while it lasts
	text   []byte     // of the request, since its strings are only lent
	ends   [texts]int // of each text

	start    time.Time
	took     time.Duration
	status   int
	acts     mesh.Act
	client   netip.Addr
	route    *mesh.Route
	service  mesh.Service
	attempts []attempt
	code     string
	err      string
	because  string
}

type attempt struct {
	endpoint    string
	after, took time.Duration
	status      int
	code, err   string
	silent      bool // nothing reached the endpoint
}

// The texts of an entry.
const (
	methodText = iota
	hostText
	pathText
	fromText
	sourceText
	texts
)

// begin copies what layers below may edit, and what is not ours later.
func (e *entry) begin(c *Config, call *mesh.Call, req *http.Request) {
	e.config, e.call = c, call
	e.start = call.Start
	if e.start.IsZero() {
		e.start = time.Now()
	}
	host, path := req.Host, req.URL.RawPath
	if path == "" {
		path = req.URL.Path
	}
	e.text = e.text[:0]
	e.add(methodText, req.Method, maxMethod)
	e.add(hostText, host, maxHost)
	e.add(pathText, path, maxPath)
	e.add(fromText, lastHop(req.Header["Via"], c.Hop), maxName)
	e.add(sourceText, string(call.Source), maxName)
}

func (e *entry) add(which int, text string, most int) {
	e.text = append(e.text, text[:min(len(text), most)]...)
	e.ends[which] = len(e.text)
}

// lastHop returns the pseudonym that stands last in Via, our own aside, which the
// server has added as a line: the proxy that sent us the request, where there was one.
func lastHop(via []string, own string) string {
	for _, line := range slices.Backward(via) {
		last := strings.TrimSpace(line[strings.LastIndexByte(line, ',')+1:])
		_, by, _ := strings.Cut(last, " ")
		by, _, _ = strings.Cut(by, " ") // a comment may follow
		if by != own {
			return by
		}
	}
	return ""
}

var _ mesh.Ender = (*entry)(nil)

// End takes down how the call ended, and puts the entry into the ring.
func (e *entry) End(r mesh.Result) {
	call := e.call
	e.call = nil
	e.took, e.status, e.acts = time.Since(e.start), r.Status, call.Acts
	e.route, e.service = call.Route, call.Service
	e.client = call.Client.WithZone("")
	id := call.ID
	e.text = append(e.text, id[:min(len(id), maxID)]...) // only the forwarding layer, below, knew it
	e.code, e.err, e.because = "", "", ""
	var f *mesh.Fault
	if r.Err != nil {
		f = mesh.AsFault(r.Err)
		e.code, e.err = f.Kind.Code(), cause(f)
	}
	if (f != nil || e.acts&mesh.NoBudget != 0) && e.config.Because != nil {
		e.because = e.config.Because(call, f)
	}
	e.note(call.Attempts)
	to := &e.ring.latest
	if len(call.Attempts) > 1 || e.took >= slow || e.status >= http.StatusInternalServerError || f != nil && f.Kind.Status() >= http.StatusInternalServerError {
		to = &e.ring.marked
	}
	if old := to.put(e); old != nil {
		e.ring.spare.Put(old)
	}
}

// note takes the attempts down.
func (e *entry) note(all []mesh.Attempt) {
	clear(e.attempts)
	e.attempts = e.attempts[:0]
	for _, a := range all[max(0, len(all)-maxAttempts):] {
		n := attempt{endpoint: a.Endpoint, after: a.Start.Sub(e.start), took: a.Duration, status: a.Status}
		if a.Err != nil {
			f := mesh.AsFault(a.Err)
			n.code, n.err = f.Kind.Code(), cause(f)
			switch f.Kind {
			case mesh.Refused, mesh.ConnectTimeout, mesh.Unreachable, mesh.TLSFailed, mesh.TLSCertificate:
				n.silent = true
			}
		}
		e.attempts = append(e.attempts, n)
	}
}

// cause returns why a fault came about, of bounded length. Of a [url.Error] only the
// cause is kept, for its text contains the query.
func cause(f *mesh.Fault) string {
	text := f.Text()
	if f.Err != nil {
		said := strings.TrimSuffix(text, ".")
		err := f.Err
		var withURL *url.Error
		if errors.As(err, &withURL) && withURL.Err != nil {
			err = withURL.Err
		}
		text = said + ": " + err.Error()
	}
	if len(text) > maxError {
		text = text[:maxError]
		return strings.ToValidUTF8(text, "") + "…"
	}
	return strings.Clone(text) // it may be a part of what the client sent
}

// Find returns the records of the requests with that ID, oldest first.
func (r *Ring) Find(id string) []Record {
	var found []Record
	if id == "" {
		return nil
	}
	for _, s := range []*shelf{&r.marked, &r.latest} {
		for i := range s.slots {
			at := &s.slots[i]
			at.mu.Lock()
			if e := at.entry; e != nil && string(e.id()) == id {
				found = append(found, e.record())
			}
			at.mu.Unlock()
		}
	}
	slices.SortFunc(found, func(a, b Record) int { return a.Start.Compare(b.Start) })
	return found[max(0, len(found)-maxFound):]
}
