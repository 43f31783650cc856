package discovery

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"time"

	"outrider/internal/mesh"
)

// snapshotVersion is of what is below. A file of a later version is refused: it may
// say something that this program would overlook.
const snapshotVersion = 1

// sealed is a file as it is written.
type sealed struct {
	Version int `json:"version"`
	// SHA256 is of Snapshot as it is written. A CRC would find a torn sector too; this
	// costs nothing here, and no edit by hand or mix of two files ever slips through.
	SHA256   string          `json:"sha256"`
	Snapshot json.RawMessage `json:"snapshot"`
}

// snapshot is what a file says.
type snapshot struct {
	Service   string    `json:"service"`
	Confirmed time.Time `json:"confirmed"` // by the catalogue
	Endpoints []record  `json:"endpoints"`
}

// record is an endpoint in a file: all fields of mesh.Endpoint, in the same order,
// under names that do not change when those do.
type record struct {
	ID         string            `json:"id"`
	Scheme     string            `json:"scheme,omitempty"`
	Address    string            `json:"address"`
	Host       string            `json:"host,omitempty"`
	Weight     int               `json:"weight,omitempty"`
	Zone       string            `json:"zone,omitempty"`
	Meta       map[string]string `json:"meta,omitempty"`
	Unhealthy  bool              `json:"unhealthy,omitempty"`
	Withdrawn  bool              `json:"withdrawn,omitempty"`
	HealthNote string            `json:"health_note,omitempty"`
}

// encodeSnapshot returns a file's text.
func encodeSnapshot(service mesh.Service, set []mesh.Endpoint, at time.Time) ([]byte, error) {
	records := make([]record, len(set))
	for i, e := range set {
		records[i] = record(e)
	}
	body, err := json.Marshal(snapshot{Service: string(service), Confirmed: at.UTC(), Endpoints: records})
	if err != nil {
		return nil, err
	}
	return seal(body), nil
}

// seal puts the version and the checksum around a body.
func seal(body []byte) []byte {
	return fmt.Appendf(nil, "{\"version\":%d,\"sha256\":%q,\"snapshot\":%s}\n", snapshotVersion, checksum(body), body)
}

func checksum(body []byte) string {
	sum := sha256.Sum256(body)
	return hex.EncodeToString(sum[:])
}

// decodeSnapshot returns what a file says about service. Its error is a refusal.
func decodeSnapshot(service mesh.Service, text []byte) ([]mesh.Endpoint, time.Time, error) {
	var file sealed
	if err := json.Unmarshal(text, &file); err != nil {
		return nil, time.Time{}, refuse("damaged, or no snapshot: %v", err)
	}
	switch {
	case file.Version > snapshotVersion:
		return nil, time.Time{}, refuse("version %d is of a later Outrider, this one reads %d", file.Version, snapshotVersion)
	case file.Version < 1:
		return nil, time.Time{}, refuse("no snapshot: it states no version")
	case file.SHA256 != checksum(file.Snapshot):
		return nil, time.Time{}, refuse("damaged: the checksum is not that of its content")
	}
	var body snapshot
	d := json.NewDecoder(bytes.NewReader(file.Snapshot))
	d.DisallowUnknownFields()
	if err := d.Decode(&body); err != nil {
		return nil, time.Time{}, refuse("no snapshot of version %d: %v", file.Version, err)
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, time.Time{}, refuse("no snapshot: something follows its content")
	}
	// JSON holds no bytes that are not UTF-8; in a name they have become U+FFFD.
	if body.Service != string([]rune(service)) {
		return nil, time.Time{}, refuse("it is of service %q", body.Service)
	}
	if body.Confirmed.IsZero() {
		return nil, time.Time{}, refuse("no snapshot: it states no time")
	}
	set, err := endpointsOf(body.Endpoints)
	return set, body.Confirmed, err
}

// endpointsOf returns the endpoints of a file.
func endpointsOf(records []record) ([]mesh.Endpoint, error) {
	set := make([]mesh.Endpoint, len(records))
	seen := make(map[string]bool, len(records))
	for i, r := range records {
		if r.ID == "" || r.Address == "" {
			return nil, refuse("endpoint %d has no id or no address", i+1)
		}
		if seen[r.ID] {
			return nil, refuse("endpoint %s is there twice", r.ID)
		}
		seen[r.ID] = true
		set[i] = mesh.Endpoint(r)
	}
	return set, nil
}
