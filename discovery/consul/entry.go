package consul

import (
	"cmp"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/hashicorp/consul/api"

	"outrider/internal/mesh"
)

// maxNote bounds HealthNote, in bytes: it stands in logs and on the admin's page.
const maxNote = 200

// endpoints turns the catalogue's entries for service into a set, ordered by ID.
// skipped names those that have no address or port to dial.
func (q Query) endpoints(service string, entries []*api.ServiceEntry) (set []mesh.Endpoint, skipped []string) {
	set = make([]mesh.Endpoint, 0, len(entries))
	for _, entry := range entries {
		if entry == nil || entry.Node == nil || entry.Service == nil {
			continue
		}
		id := entryID(entry)
		address, ok := entryAddress(entry)
		if !ok {
			skipped = append(skipped, id)
			continue
		}
		v := judge(entry.Checks)
		e := mesh.Endpoint{
			ID:         id,
			Scheme:     q.scheme(entry.Service.Meta),
			Address:    address,
			Host:       service,
			Weight:     weight(entry.Service.Weights, v.warning),
			Zone:       entryZone(entry),
			Unhealthy:  v.critical || v.maintenance,
			Withdrawn:  v.maintenance,
			HealthNote: v.note,
		}
		if len(entry.Service.Meta) > 0 { // nobody else has it: the answer was decoded for us
			e.Meta = entry.Service.Meta
		}
		set = append(set, e)
	}
	slices.SortFunc(set, func(a, b mesh.Endpoint) int { return strings.Compare(a.ID, b.ID) })
	slices.Sort(skipped)
	return set, skipped
}

// entryID names an entry: a service's ID is unique on its node, and a node's name
// in its datacenter. Partition and namespace are Consul Enterprise's.
func entryID(entry *api.ServiceEntry) string {
	parts := []string{entry.Node.Datacenter, entry.Service.Partition, entry.Service.Namespace, entry.Node.Node, entry.Service.ID}
	parts = slices.DeleteFunc(parts, func(s string) bool { return s == "" })
	return strings.Join(parts, "/")
}

// entryAddress returns what to dial. A service without an address of its own is at
// its node's.
func entryAddress(entry *api.ServiceEntry) (string, bool) {
	host := cmp.Or(entry.Service.Address, entry.Node.Address)
	host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	port := entry.Service.DefaultPort()
	if host == "" || port < 1 || port > 65535 {
		return "", false
	}
	if ip, err := netip.ParseAddr(host); err == nil && ip.IsUnspecified() {
		return "", false // dialling it would reach this host
	}
	return net.JoinHostPort(host, strconv.Itoa(port)), true
}

// entryZone returns the service's own zone before its node's.
func entryZone(entry *api.ServiceEntry) string {
	var service, node string
	if l := entry.Service.Locality; l != nil {
		service = l.Zone
	}
	if l := entry.Node.Locality; l != nil {
		node = l.Zone
	}
	return cmp.Or(service, entry.Service.Meta["zone"], node, entry.Node.Meta["zone"])
}

// scheme returns an endpoint's scheme, which its meta may name. Who writes the
// catalogue cannot take TLS away where the configuration asks for it.
func (q Query) scheme(meta map[string]string) string {
	configured := cmp.Or(q.Scheme, "http")
	said := meta["scheme"]
	switch said {
	case "http", "h2c":
		if configured != "https" {
			return said
		}
	case "https":
		return said
	}
	return configured
}

// weight is never less than 1: even a weight of zero for warnings leaves the
// smallest share, as in Consul's own DNS answers.
func weight(w api.AgentWeights, warning bool) int {
	if warning {
		return max(1, w.Warning)
	}
	return max(1, w.Passing)
}

// verdict is what the checks of an entry say together.
type verdict struct {
	maintenance, critical, warning bool
	note                           string // empty where neither in maintenance nor critical
}

// judge reads the checks of the service and its node. Of several that say the same,
// the first by ID gives the note.
func judge(checks api.HealthChecks) verdict {
	checks = slices.DeleteFunc(checks, func(c *api.HealthCheck) bool { return c == nil })
	slices.SortFunc(checks, func(a, b *api.HealthCheck) int { return strings.Compare(a.CheckID, b.CheckID) })
	var v verdict
	for _, c := range checks {
		switch {
		case c.CheckID == api.NodeMaint, strings.HasPrefix(c.CheckID, api.ServiceMaintPrefix):
			if !v.maintenance {
				v.note = note("maintenance", c.Notes)
			}
			v.maintenance = true
		case c.Status == api.HealthCritical:
			if !v.critical && !v.maintenance {
				v.note = note(cmp.Or(c.Name, c.CheckID), c.Output)
			}
			v.critical = true
		case c.Status == api.HealthWarning:
			v.warning = true
		}
	}
	return v
}

// note joins what speaks and the first line of what it says.
func note(who, says string) string {
	who = firstLine(who)
	if says = firstLine(says); says != "" {
		who += ": " + says
	}
	return cut(who, maxNote)
}

// firstLine returns the first line of s that is not blank, printable and no longer
// than maxNote.
func firstLine(s string) string {
	for line := range strings.Lines(s) {
		line = strings.Map(func(r rune) rune {
			if !unicode.IsPrint(r) {
				return ' '
			}
			return r
		}, strings.ToValidUTF8(line, "?"))
		if line = strings.Join(strings.Fields(line), " "); line != "" {
			return cut(line, maxNote)
		}
	}
	return ""
}

// cut shortens s to at most n bytes, and shows that it did.
func cut(s string, n int) string {
	const dots = "…"
	if len(s) <= n {
		return s
	}
	n -= len(dots)
	for !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n] + dots
}
