package watch

import (
	"crypto/sha256"
	"io"
	"os"
	"slices"
)

// most bounds, in bytes, how much of a file is read; no change is seen beyond.
const most = 16 << 20

// contents remembers what files held.
type contents struct {
	files []string
	infos map[string]os.FileInfo
	sums  map[string][sha256.Size]byte
}

func newContents(files []string) *contents {
	files = slices.Compact(slices.Sorted(slices.Values(files)))
	return &contents{files: files, infos: map[string]os.FileInfo{}, sums: map[string][sha256.Size]byte{}}
}

// update reads the files and reports whether one holds something else than before.
func (c *contents) update() bool {
	changed := false
	for _, file := range c.files {
		if c.read(file) {
			changed = true
		}
	}
	return changed
}

// updateMoved is update for those files alone whose time, size or inode is another.
func (c *contents) updateMoved() bool {
	changed := false
	for _, file := range c.files {
		info, err := os.Stat(file)
		if err != nil {
			continue
		}
		last, known := c.infos[file]
		same := known && os.SameFile(last, info) && last.Size() == info.Size() && last.ModTime().Equal(info.ModTime())
		if !same && c.read(file) {
			changed = true
		}
	}
	return changed
}

// read reports whether file holds something else than before. What cannot be read
// is as it was; what is no regular file is not opened, since that may block.
func (c *contents) read(file string) bool {
	info, err := os.Stat(file)
	if err != nil || !info.Mode().IsRegular() {
		return false
	}
	f, err := os.Open(file)
	if err != nil {
		return false
	}
	defer f.Close()
	hash := sha256.New()
	if _, err := io.Copy(hash, io.LimitReader(f, most)); err != nil {
		return false
	}
	sum := [sha256.Size]byte(hash.Sum(nil))
	last, known := c.sums[file]
	c.infos[file], c.sums[file] = info, sum
	return !known || last != sum
}

// directories returns where a change of the files would show.
func (c *contents) directories() []string {
	dirs := []string{}
	for _, file := range c.files {
		dirs = append(dirs, directoriesOf(file)...)
	}
	slices.Sort(dirs)
	return slices.Compact(dirs)
}
