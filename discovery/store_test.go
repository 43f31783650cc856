package discovery_test

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"outrider/discovery"
	"outrider/internal/mesh"
)

var confirmed = time.Date(2026, 3, 4, 5, 6, 7, 8, time.UTC)

func store(t *testing.T) (*discovery.Store, string) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "state", "snapshots")
	s, err := discovery.OpenStore(dir)
	if err != nil {
		t.Fatal(err)
	}
	return s, dir
}

// files returns the names in dir that end in suffix.
func files(t *testing.T, dir, suffix string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), suffix) {
			names = append(names, e.Name())
		}
	}
	return names
}

// full returns an endpoint none of whose fields is zero.
func full(t *testing.T) mesh.Endpoint {
	t.Helper()
	var e mesh.Endpoint
	v := reflect.ValueOf(&e).Elem()
	for i := range v.NumField() {
		switch f := v.Field(i); f.Kind() {
		case reflect.String:
			f.SetString("a <b> & \"c\" é " + v.Type().Field(i).Name)
		case reflect.Int:
			f.SetInt(7)
		case reflect.Bool:
			f.SetBool(true)
		case reflect.Map:
			f.Set(reflect.ValueOf(map[string]string{"version": "2", "": "x"}))
		default:
			t.Fatalf("mesh.Endpoint.%s is a %v: say here how to fill it", v.Type().Field(i).Name, f.Kind())
		}
	}
	return e
}

func TestStoreKeepsAll(t *testing.T) {
	s, dir := store(t)
	for _, set := range [][]mesh.Endpoint{{full(t), {ID: "b", Address: "b:1"}}, {}, {{ID: "c", Address: "c:1"}}} {
		if err := s.Save("orders", set, confirmed.In(time.FixedZone("", 3600))); err != nil {
			t.Fatal(err)
		}
		got, at, err := s.Load("orders")
		if err != nil || !reflect.DeepEqual(got, set) || !at.Equal(confirmed) {
			t.Errorf("got %+v of %v, %v; want %+v", got, at, err, set)
		}
	}
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the folder: %v, %v", info.Mode(), err)
	}
	names := files(t, dir, "")
	if len(names) != 1 {
		t.Fatalf("files are %q, want one", names)
	}
	if info, err := os.Stat(filepath.Join(dir, names[0])); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file: %v, %v", info.Mode(), err)
	}
}

func TestStoreNames(t *testing.T) {
	s, dir := store(t)
	names := []mesh.Service{
		"orders", "Orders", "ORDERS", "../orders", "/etc/passwd", "..", ".", "", "a/b", "a\\b", "a\x00b", "a_b", "a b",
		"bad\xff", "bad\xfe", "con", "orders.json", "größe", mesh.Service(strings.Repeat("x", 5000)), mesh.Service(strings.Repeat("x", 5001)),
	}
	for _, name := range names {
		if err := s.Save(name, plain(string([]rune(name))+"-1"), confirmed); err != nil {
			t.Errorf("%q: %v", name, err)
		}
	}
	for _, name := range names {
		got, _, err := s.Load(name)
		if err != nil || len(got) != 1 || got[0].ID != string([]rune(name))+"-1" {
			t.Errorf("%.20q: got %v, %v", name, ids(got), err)
		}
	}
	seen := map[string]bool{}
	for _, name := range files(t, dir, "") {
		if folded := strings.ToLower(name); seen[folded] || len(name) > 100 || folded != name {
			t.Errorf("file %q", name)
		} else {
			seen[folded] = true
		}
	}
	if len(seen) != len(names) {
		t.Errorf("%d files for %d services", len(seen), len(names))
	}
	if up := files(t, filepath.Dir(dir), ""); len(up) != 1 {
		t.Errorf("outside of the folder there is %q", up)
	}
}

func TestLoadRefuses(t *testing.T) {
	good := func(t *testing.T, s *discovery.Store, path string) []byte {
		t.Helper()
		if err := s.Save("orders", plain("a", "b"), confirmed); err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	tests := []struct {
		name   string
		damage func(text []byte) []byte
		want   string
	}{
		{"empty", func([]byte) []byte { return nil }, "damaged"},
		{"cut off", func(b []byte) []byte { return b[:len(b)/2] }, "damaged"},
		{"zeroes", func(b []byte) []byte { return make([]byte, len(b)) }, "damaged"},
		{"another address", func(b []byte) []byte { return bytes.Replace(b, []byte("a:80"), []byte("c:80"), 1) }, "checksum"},
		{"an edit that parses", func(b []byte) []byte { return bytes.Replace(b, []byte(`"snapshot":{`), []byte(`"snapshot": {`), 1) }, ""},
		{"later version", func(b []byte) []byte { return bytes.Replace(b, []byte(`"version":1`), []byte(`"version":2`), 1) }, "later Outrider"},
		{"no version", func(b []byte) []byte { return bytes.Replace(b, []byte(`"version":1,`), nil, 1) }, "no version"},
		{"something else", func([]byte) []byte { return []byte(`{"listen": "0.0.0.0:80"}`) }, "no version"},
		{"another service", func([]byte) []byte {
			return discovery.Seal([]byte(`{"service":"users","confirmed":"2026-01-01T00:00:00Z","endpoints":[]}`))
		}, `service "users"`},
		{"unknown field", func([]byte) []byte {
			return discovery.Seal([]byte(`{"service":"orders","confirmed":"2026-01-01T00:00:00Z","endpoints":[],"more":1}`))
		}, "more"},
		{"no time", func([]byte) []byte { return discovery.Seal([]byte(`{"service":"orders","endpoints":[]}`)) }, "no time"},
		{"an endpoint twice", func([]byte) []byte {
			return discovery.Seal([]byte(`{"service":"orders","confirmed":"2026-01-01T00:00:00Z","endpoints":[{"id":"a","address":"a"},{"id":"a","address":"a"}]}`))
		}, "twice"},
		{"an endpoint without address", func([]byte) []byte {
			return discovery.Seal([]byte(`{"service":"orders","confirmed":"2026-01-01T00:00:00Z","endpoints":[{"id":"a"}]}`))
		}, "no address"},
		{"too large", func([]byte) []byte { return make([]byte, 32<<20+1) }, "more than"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s, dir := store(t)
			good(t, s, filepath.Join(dir, discovery.FileName("orders")))
			path := filepath.Join(dir, discovery.FileName("orders"))
			damaged := tt.damage(good(t, s, path))
			if err := os.WriteFile(path, damaged, 0o600); err != nil {
				t.Fatal(err)
			}
			set, at, err := s.Load("orders")
			if tt.want == "" {
				if err != nil || len(set) != 2 {
					t.Errorf("got %v, %v", ids(set), err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), dir) || errors.Is(err, fs.ErrNotExist) {
				t.Errorf("got %v, want something about %q, and where it is", err, tt.want)
			}
			if set != nil || !at.IsZero() {
				t.Errorf("got %v of %v beside the error", set, at)
			}
			aside, err := os.ReadFile(path + ".refused")
			if err != nil || !bytes.Equal(aside, damaged) {
				t.Errorf("set aside are %d bytes, %v; want the file as it was", len(aside), err)
			}
			if _, _, err := s.Load("orders"); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("then: %v, want that there is none", err)
			}
		})
	}
}

// A file that everybody may write to, or that is none, is not read.
func TestLoadRefusesWhatIsNotOurs(t *testing.T) {
	tests := []struct {
		name, want string
		make       func(path string) error
	}{
		{"writable by all", "everybody", func(path string) error { return os.Chmod(path, 0o666) }},
		{"a link", "no regular file", func(path string) error {
			return errors.Join(os.Rename(path, path+".real"), os.Symlink(path+".real", path))
		}},
		{"a folder", "no regular file", func(path string) error { return errors.Join(os.Remove(path), os.Mkdir(path, 0o700)) }},
		{"a pipe", "no regular file", func(path string) error { return errors.Join(os.Remove(path), syscall.Mkfifo(path, 0o600)) }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s, dir := store(t)
			if err := s.Save("orders", plain("a"), confirmed); err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(dir, discovery.FileName("orders"))
			if err := tt.make(path); err != nil {
				t.Fatal(err)
			}
			if _, _, err := s.Load("orders"); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
			if err := s.Save("orders", plain("b"), confirmed); err != nil {
				t.Errorf("the next save: %v", err)
			}
			if set, _, err := s.Load("orders"); err != nil || ids(set)[0] != "b" {
				t.Errorf("then: %v, %v", ids(set), err)
			}
		})
	}
}

func TestOpenStore(t *testing.T) {
	if _, err := discovery.OpenStore(""); err == nil {
		t.Error("a store without a folder")
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := discovery.OpenStore(filepath.Join(file, "snapshots")); err == nil || !strings.Contains(err.Error(), "name a folder") {
		t.Errorf("got %v", err)
	}
}

func TestOpenStoreSweeps(t *testing.T) {
	_, dir := store(t)
	old := time.Now().Add(-2 * time.Hour)
	for name, at := range map[string]time.Time{
		".orders.00.ABC.json.tmp": old, ".users.00.ABC.json.tmp": time.Now(), "mine.json.tmp": old, ".other": old,
	} {
		path := filepath.Join(dir, name)
		if err := errors.Join(os.WriteFile(path, nil, 0o600), os.Chtimes(path, at, at)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := discovery.OpenStore(dir); err != nil {
		t.Fatal(err)
	}
	if got := files(t, dir, ""); len(got) != 3 || strings.Contains(strings.Join(got, " "), "orders") {
		t.Errorf("left are %q, want all but the old temporary file of orders", got)
	}
}

func TestSaveFails(t *testing.T) {
	s, dir := store(t)
	large := plain("a")
	large[0].Meta = map[string]string{"x": strings.Repeat("x", 32<<20)}
	if err := s.Save("orders", large, confirmed); err == nil || !strings.Contains(err.Error(), "bytes") {
		t.Errorf("too large: %v", err)
	}
	if err := os.Mkdir(filepath.Join(dir, discovery.FileName("orders")), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := s.Save("orders", plain("a"), confirmed); err == nil || !strings.Contains(err.Error(), dir) {
		t.Errorf("a folder in its place: %v", err)
	}
	if got := files(t, dir, ".tmp"); len(got) != 0 {
		t.Errorf("left behind: %q", got)
	}
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if err := s.Save("orders", plain("a"), confirmed); err != nil {
		t.Errorf("the folder was removed meanwhile: %v", err)
	}
}

// Several processes may share a folder: the file is always one or the other's.
func TestSaveAtOnce(t *testing.T) {
	s, dir := store(t)
	var all sync.WaitGroup
	for _, id := range many(8) {
		all.Go(func() {
			for range 5 {
				if err := s.Save("orders", plain(id), confirmed); err != nil {
					t.Error(err)
				}
				if set, _, err := s.Load("orders"); err != nil || len(set) != 1 {
					t.Errorf("got %v, %v", ids(set), err)
				}
			}
		})
	}
	all.Wait()
	if got := files(t, dir, ""); len(got) != 1 {
		t.Errorf("files are %q", got)
	}
}

func FuzzSnapshot(f *testing.F) {
	text, err := discovery.EncodeSnapshot("orders", plain("a", "b"), confirmed)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Add([]byte(`{"service":"orders","confirmed":"2026-01-01T00:00:00Z","endpoints":[{"id":"a","address":"b","meta":{"k":"v"}}]}`))
	f.Add([]byte(`{"version":1,"sha256":"","snapshot":null}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		for _, text := range [][]byte{text, discovery.Seal(text)} { // the second gets past the checksum
			set, at, err := discovery.DecodeSnapshot("orders", text)
			if err != nil {
				if set != nil {
					t.Fatalf("%q: a set beside %v", text, err)
				}
				continue
			}
			seen := map[string]bool{}
			for _, e := range set {
				if e.ID == "" || e.Address == "" || seen[e.ID] {
					t.Fatalf("%q: endpoint %+v", text, e)
				}
				seen[e.ID] = true
			}
			again, err := discovery.EncodeSnapshot("orders", set, at)
			if err != nil {
				t.Fatalf("%q: cannot be written again: %v", text, err)
			}
			back, then, err := discovery.DecodeSnapshot("orders", again)
			if err != nil || !then.Equal(at) || !reflect.DeepEqual(ids(back), ids(set)) {
				t.Fatalf("%q: written again it is %v of %v, %v", text, back, then, err)
			}
		}
	})
}
