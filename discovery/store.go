package discovery

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"time"

	"outrider/internal/mesh"
)

const (
	maxSnapshot = 32 << 20        // bytes of a file: some 100,000 endpoints
	oldTemp     = time.Hour       // a temporary file of this age belongs to a process that crashed
	tempSuffix  = ".tmp"          // written, not yet in place
	asideSuffix = ".refused"      // could not be used
	fileSuffix  = ".json"         // in place
	readable    = 40              // bytes of a service's name that its file's name shows
	digestBytes = sha256.Size / 2 // of the name's digest in the file's name: two services never meet
)

// Store keeps one file per service in a folder: its endpoints, and when the
// catalogue last said so. Files are replaced whole: after a crash there is the former
// one or the new one. It is safe for concurrent use, also by several processes.
//
// Who can write into the folder decides where requests go, so folder and files are
// their owner's alone (0700, 0600). The checksum tells damage, not forgery.
type Store struct{ dir string }

// OpenStore returns the store in the folder dir, which it makes where there is none.
func OpenStore(dir string) (*Store, error) {
	if dir == "" {
		return nil, errors.New("snapshots: no folder is named")
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("snapshots: %w; name a folder that this user can write to", err)
	}
	s := &Store{dir: dir}
	s.sweep()
	return s, nil
}

// sweep removes the temporary files that crashed processes left behind. One that
// stays does no harm.
func (s *Store) sweep() {
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return
	}
	for _, entry := range entries {
		if !strings.HasPrefix(entry.Name(), ".") || !strings.HasSuffix(entry.Name(), fileSuffix+tempSuffix) {
			continue
		}
		if info, err := entry.Info(); err == nil && info.Mode().IsRegular() && time.Since(info.ModTime()) > oldTemp {
			_ = s.within(func(root *os.Root) error { return root.Remove(entry.Name()) })
		}
	}
}

// Save replaces the snapshot of a service; at is when the catalogue confirmed the
// set. When Save returns nil the file is on the disk, not in a cache only.
func (s *Store) Save(service mesh.Service, set []mesh.Endpoint, at time.Time) error {
	text, err := encodeSnapshot(service, set, at)
	if err == nil && len(text) > maxSnapshot {
		err = fmt.Errorf("%d endpoints take %d bytes, more than the %d that would be read again", len(set), len(text), maxSnapshot)
	}
	if err == nil {
		err = os.MkdirAll(s.dir, 0o700) // somebody may have removed it meanwhile
	}
	if err == nil {
		err = s.within(func(root *os.Root) error { return replace(root, fileName(service), text) })
	}
	if err != nil {
		return fmt.Errorf("snapshot of %s in %s: %w", service, s.dir, err)
	}
	return nil
}

// replace puts a file in place in one step.
func replace(root *os.Root, name string, text []byte) error {
	temp := "." + strings.TrimSuffix(name, fileSuffix) + "." + rand.Text()[:8] + fileSuffix + tempSuffix
	f, err := root.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	if err == nil {
		err = f.Sync() // else a power cut could leave the new name on an empty file
	}
	if closed := f.Close(); err == nil {
		err = closed
	}
	if err == nil {
		err = root.Rename(temp, name)
	}
	if err != nil {
		_ = root.Remove(temp) // a full disk must not fill with these
		return err
	}
	if folder, err := root.Open("."); err == nil {
		_ = folder.Sync() // where that is not possible, a power cut brings the former file back
		folder.Close()
	}
	return nil
}

// Load returns a service's endpoints and when the catalogue confirmed them. The error
// is fs.ErrNotExist where there is no snapshot. A file that is damaged, too large, of
// another service or of a later version is refused: the error says why, and the file
// is kept under a name that ends in .refused, where a later one replaces it.
func (s *Store) Load(service mesh.Service) (set []mesh.Endpoint, at time.Time, err error) {
	name := fileName(service)
	err = s.within(func(root *os.Root) error {
		text, err := readSnapshot(root, name)
		if err == nil {
			set, at, err = decodeSnapshot(service, text)
		}
		var refused *refusal
		if errors.As(err, &refused) {
			if aside := root.Rename(name, name+asideSuffix); aside != nil {
				return fmt.Errorf("%w; it cannot be set aside: %w", err, aside)
			}
			return fmt.Errorf("%w; set aside as %s", err, name+asideSuffix)
		}
		return err
	})
	if err != nil {
		return nil, time.Time{}, fmt.Errorf("snapshot of %s in %s: %w", service, s.dir, err)
	}
	return set, at, nil
}

// readSnapshot reads a file that is plainly one of ours. A pipe would be waited for
// without end, so what is no file is not opened.
func readSnapshot(root *os.Root, name string) ([]byte, error) {
	info, err := root.Lstat(name)
	switch {
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular():
		return nil, refuse("%s is no regular file", name)
	case info.Mode().Perm()&0o002 != 0:
		return nil, refuse("everybody may write to %s, so it may say anything", name)
	}
	f, err := root.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxSnapshot+1))
	if err == nil && len(text) > maxSnapshot {
		err = refuse("%s has more than %d bytes", name, maxSnapshot)
	}
	return text, err
}

// within runs f in the folder as it is now. Nothing outside of it can be reached.
func (s *Store) within(f func(*os.Root) error) error {
	root, err := os.OpenRoot(s.dir)
	if err != nil {
		return err
	}
	err = f(root)
	_ = root.Close() // it was only looked through
	return err
}

// fileName returns the name of a service's file. A service's name may hold anything,
// so the file's shows its harmless characters, in lower case, and is made distinct
// by a digest: no way out of the folder, no name too long, and no two services in
// one file where case does not count.
func fileName(service mesh.Service) string {
	shown := strings.Map(func(r rune) rune {
		switch {
		case 'a' <= r && r <= 'z', '0' <= r && r <= '9', r == '-':
			return r
		case 'A' <= r && r <= 'Z':
			return r - 'A' + 'a'
		}
		return '_'
	}, string(service[:min(len(service), readable)]))
	digest := sha256.Sum256([]byte(service))
	return shown + "." + hex.EncodeToString(digest[:digestBytes]) + fileSuffix
}

// refusal says why a file cannot be used, now or later.
type refusal struct{ reason string }

func (r *refusal) Error() string { return r.reason }

func refuse(format string, args ...any) error { return &refusal{fmt.Sprintf(format, args...)} }

// none reports whether err says that there is no snapshot, rather than a bad one.
func none(err error) bool { return errors.Is(err, fs.ErrNotExist) }
