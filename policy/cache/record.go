package cache

import (
	"errors"
	"io"
	"net/http"
	"strconv"
	"sync"
)

// place is where an answer goes: its key, and the epoch in which it was fetched.
type place struct {
	key   string
	epoch uint64
}

// record has the body of resp copied into kept while the client reads it, and kept
// put into the store when it is whole.
func (c *Cache) record(resp *http.Response, kept *Entry, at place) {
	if resp.Body == http.NoBody {
		if resp.ContentLength > 0 { // a body that is declared and does not come
			c.observed(Abandoned)
			return
		}
		c.keep(kept, at)
		return
	}
	r := &recorder{cache: c, body: resp.Body, resp: resp, entry: kept, at: at, declared: resp.ContentLength}
	resp.Body = r
}

// keep puts a whole entry into the store.
func (c *Cache) keep(kept *Entry, at place) {
	if kept.Status != http.StatusNoContent { // RFC 9110, section 8.6
		kept.Header["Content-Length"] = []string{strconv.Itoa(len(kept.Body))}
	}
	if c.store.Put(at.key, at.epoch, kept) {
		c.observed(Stored)
		return
	}
	c.observed(Abandoned)
}

// recorder is a response's body that is copied as it is read.
type recorder struct {
	cache    *Cache
	body     io.ReadCloser
	resp     *http.Response // for its trailers, known at the end of the body
	at       place
	declared int64 // length; negative is unknown

	mu       sync.Mutex // protects all below: Close is allowed beside Read
	entry    *Entry     // nil once it is kept or abandoned
	copied   []byte
	reserved int64 // of Cache.copying
}

// Read reads the body, and copies what it has read.
func (r *recorder) Read(p []byte) (int, error) {
	n, err := r.body.Read(p)
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.entry == nil {
		return n, err
	}
	r.add(p[:n])
	switch {
	case errors.Is(err, io.EOF) && len(r.resp.Trailer) > 0: // unannounced; they would be lost
		r.abandon()
	case errors.Is(err, io.EOF):
		r.finish()
	case err != nil:
		r.abandon()
	}
	return n, err
}

// Close closes the body. A client that knows the length need not read as far as
// the end; one that stopped before leaves nothing behind.
func (r *recorder) Close() error {
	r.mu.Lock()
	if r.declared >= 0 {
		r.finish()
	} else {
		r.abandon()
	}
	r.mu.Unlock()
	return r.body.Close()
}

// add copies p, unless the copy would be too long or there is no room for it.
func (r *recorder) add(p []byte) {
	length := int64(len(r.copied) + len(p))
	if length > r.cache.maxBody || (r.declared >= 0 && length > r.declared) {
		r.abandon()
		return
	}
	if length > int64(cap(r.copied)) && !r.grow(length) {
		r.abandon()
		return
	}
	r.copied = append(r.copied, p...)
}

// grow makes room for length bytes: at once for all where the length is declared,
// else by doubling.
func (r *recorder) grow(length int64) bool {
	size := r.declared
	if size < 0 {
		size = min(max(length, 2*int64(cap(r.copied)), 512), r.cache.maxBody)
	}
	reserved := r.cache.copying.Add(size - r.reserved)
	r.reserved = size
	if reserved > r.cache.maxBytes {
		return false
	}
	larger := make([]byte, len(r.copied), size)
	copy(larger, r.copied)
	r.copied = larger
	return true
}

// finish keeps the copy where it is as long as declared. r.mu is held.
func (r *recorder) finish() {
	if r.entry == nil {
		return
	}
	if r.declared >= 0 && int64(len(r.copied)) != r.declared {
		r.abandon()
		return
	}
	kept := r.entry
	kept.Body = exact(r.copied)
	r.release()
	r.cache.keep(kept, r.at)
}

// abandon gives the copy up. r.mu is held.
func (r *recorder) abandon() {
	if r.entry == nil {
		return
	}
	r.release()
	r.cache.observed(Abandoned)
}

func (r *recorder) release() {
	r.cache.copying.Add(-r.reserved)
	r.entry, r.copied, r.reserved = nil, nil, 0
}

// exact returns b without unused room, which the store would hold and not count.
func exact(b []byte) []byte {
	if len(b) == cap(b) {
		return b
	}
	return append(make([]byte, 0, len(b)), b...)
}
