package consul

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/hashicorp/consul/api"
)

// Consul's own bounds.
const (
	maxMetaPairs       = 64
	maxMetaKey         = 128 // bytes
	maxMetaValue       = 512 // bytes
	maxWeight          = 65535
	maxID              = 255 // bytes; this one is ours
	reservedMeta       = "consul-"
	minDeregisterAfter = time.Minute
)

const (
	defaultCheckTTL        = 15 * time.Second
	minCheckTTL            = 3 * time.Second // a third of it is time for one request
	defaultDeregisterAfter = 10 * time.Minute
)

// Registration is how this service stands in the catalogue.
type Registration struct {
	Name    string // what others call
	ID      string // unique on the agent: of two with the same ID the last wins
	Address string // where others reach it, an IP or a name; empty means the agent's node
	Port    int
	Tags    []string
	Meta    map[string]string
	Weight  int    // 1 to 65535, next to the other instances
	Zone    string // stands in the catalogue as the meta "zone"; empty means unknown

	// CheckTTL is how long the agent believes a heartbeat; there is one each third of
	// it, give or take 10 %. Zero means 15s; the least is 3s.
	CheckTTL time.Duration
	// DeregisterAfter is when the agent forgets a service whose sidecar has died without
	// a word. One that lives keeps its place however long its app is unhealthy. Zero
	// means 10m; Consul's least is 1m.
	DeregisterAfter time.Duration
}

// metaKey is what Consul takes for a key.
var metaKey = regexp.MustCompile(`^[A-Za-z0-9_-]+$`)

// withDefaults returns r, independent of the caller's, or all that is wrong with it.
func (r Registration) withDefaults() (Registration, error) {
	r.CheckTTL = cmp.Or(r.CheckTTL, defaultCheckTTL)
	r.DeregisterAfter = cmp.Or(r.DeregisterAfter, defaultDeregisterAfter)
	r.Tags = slices.Clone(r.Tags)
	meta := maps.Clone(r.Meta)
	if r.Zone != "" {
		if meta == nil {
			meta = map[string]string{}
		}
		meta["zone"] = r.Zone
	}
	err := errors.Join(r.checkIdentity(), r.checkPlace(), r.checkZone(), checkMeta(meta), r.checkTimes())
	r.Meta = meta
	return r, err
}

// checkIdentity checks what the service is called. Both names become part of a path.
func (r Registration) checkIdentity() error {
	var errs []error
	for _, word := range [][2]string{{"service.name", r.Name}, {"service.id", r.ID}} {
		key, value := word[0], word[1]
		switch {
		case value == "":
			errs = append(errs, fmt.Errorf("%s: missing", key))
		case len(value) > maxID:
			errs = append(errs, fmt.Errorf("%s: %d bytes: it has %d at most", key, len(value), maxID))
		case strings.Trim(value, ".") == "", strings.ContainsFunc(value, func(c rune) bool { return c == '/' || unicode.IsControl(c) }):
			errs = append(errs, fmt.Errorf("%s %q: it has no slash or control character, and is not made of dots", key, value))
		}
	}
	return errors.Join(errs...)
}

// checkPlace checks where the service is and how much it takes.
func (r Registration) checkPlace() error {
	var errs []error
	if ip, err := netip.ParseAddr(r.Address); err == nil && ip.IsUnspecified() {
		errs = append(errs, fmt.Errorf("service.address %s: no address that others could call: write this machine's", r.Address))
	}
	if r.Port < 1 || r.Port > 65535 {
		errs = append(errs, fmt.Errorf("port %d: it is one of 1 to 65535", r.Port))
	}
	if r.Weight < 1 || r.Weight > maxWeight {
		errs = append(errs, fmt.Errorf("service.weight %d: it is one of 1 to %d; to take an instance out, use consul maint -enable -service=%s", r.Weight, maxWeight, r.ID))
	}
	return errors.Join(errs...)
}

// checkZone refuses two zones.
func (r Registration) checkZone() error {
	if said, ok := r.Meta["zone"]; ok && r.Zone != "" && said != r.Zone {
		return fmt.Errorf("service.zone is %q and service.meta's zone %q: leave out the latter", r.Zone, said)
	}
	return nil
}

// checkMeta checks what Consul would refuse.
func checkMeta(meta map[string]string) error {
	var errs []error
	if len(meta) > maxMetaPairs {
		errs = append(errs, fmt.Errorf("service.meta: %d pairs, the zone among them: Consul keeps %d", len(meta), maxMetaPairs))
	}
	for _, key := range slices.Sorted(maps.Keys(meta)) {
		switch {
		case len(key) > maxMetaKey:
			errs = append(errs, fmt.Errorf("service.meta: the key %s is longer than %d bytes", cut(key, 40), maxMetaKey))
		case !metaKey.MatchString(key):
			errs = append(errs, fmt.Errorf("service.meta: the key %q: it has letters, digits, - and _ only", key))
		case strings.HasPrefix(key, reservedMeta):
			errs = append(errs, fmt.Errorf("service.meta: the key %s: Consul keeps %s for itself", key, reservedMeta))
		case len(meta[key]) > maxMetaValue:
			errs = append(errs, fmt.Errorf("service.meta.%s: the value is longer than %d bytes", key, maxMetaValue))
		}
	}
	return errors.Join(errs...)
}

// checkTimes checks the two durations.
func (r Registration) checkTimes() error {
	var errs []error
	if r.CheckTTL < minCheckTTL {
		errs = append(errs, fmt.Errorf("check ttl %v: it is at least %v", r.CheckTTL, minCheckTTL))
	}
	if r.DeregisterAfter < minDeregisterAfter {
		errs = append(errs, fmt.Errorf("deregister after %v: Consul's least is %v", r.DeregisterAfter, minDeregisterAfter))
	}
	return errors.Join(errs...)
}

// interval is how long a heartbeat lasts until the next.
func (r Registration) interval() time.Duration { return r.CheckTTL / 3 }

// checkID names the check. It is the same for every process with this ID, so that
// the check of one that has died does not stay beside its successor's.
func (r Registration) checkID() string { return "service:" + r.ID }

// request returns what the agent is sent. It has no Locality: Consul takes no zone
// without a region.
func (r Registration) request(status string) *api.AgentServiceRegistration {
	return &api.AgentServiceRegistration{
		ID:      r.ID,
		Name:    r.Name,
		Address: r.Address,
		Port:    r.Port,
		Tags:    r.Tags,
		Meta:    r.Meta,
		Weights: &api.AgentWeights{Passing: r.Weight, Warning: 1},
		Check: &api.AgentServiceCheck{
			CheckID:                        r.checkID(),
			Name:                           "app and sidecar",
			TTL:                            r.CheckTTL.String(),
			Status:                         status,
			Notes:                          "a heartbeat of the sidecar, for the app and itself",
			DeregisterCriticalServiceAfter: r.DeregisterAfter.String(),
		},
	}
}

// elsewhere reports whether what the agent has is another process's.
func (r Registration) elsewhere(has *api.AgentService) bool {
	return has.Kind != api.ServiceKindTypical || has.Service != r.Name || has.Address != r.Address || has.Port != r.Port
}

// altered reports whether what the agent has says something else than r of the same
// place.
func (r Registration) altered(has *api.AgentService) bool {
	return !slices.Equal(has.Tags, r.Tags) || !maps.Equal(has.Meta, r.Meta) ||
		has.Weights != api.AgentWeights{Passing: r.Weight, Warning: 1}
}
