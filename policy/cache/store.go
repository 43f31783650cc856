package cache

// Store keeps entries. It is used by many goroutines at once, and bounds what it
// holds. A Store that has to wait for something bounds that wait itself, and
// failing is no error: what cannot be had is absent, what cannot be put is not
// kept.
type Store interface {
	// Get returns the variants under key, newest first; neither they nor the slice
	// may be changed. With them comes the epoch of key, which Put wants back.
	Get(key string) (variants []*Entry, epoch uint64)

	// Put keeps e under key, in place of a variant that was selected alike. It
	// reports whether it did: not when a Delete of key came after the Get that
	// returned epoch, because e may be from before the change.
	Put(key string, epoch uint64, e *Entry) bool

	// Delete removes all variants under key and ends its epoch. It reports whether
	// there were any.
	Delete(key string) bool

	// Stats returns how many entries are kept, and what they count for in bytes.
	Stats() (entries int, bytes int64)
}
