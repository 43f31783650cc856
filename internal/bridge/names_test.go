package bridge_test

import (
	"net/http"
	"strings"
	"testing"

	"outrider/internal/bridge"
)

// A set answers as if each name were folded and compared with all of its own.
func TestNamesHasHoweverItIsSpelled(t *testing.T) {
	long := "X-" + strings.Repeat("Long-", 20) + "*"
	for _, of := range [][]string{
		{"X-User-Id", "x_claim_*", "Cookie", long, "X-" + strings.Repeat("Q", 80)},
		{"Te", "A*", "-"}, // too short for what is known of a set at a glance
	} {
		ask := append([]string{
			"", "X", "X-", "X-User", "X-Userid", "X-User-Id2", "Cookies", "Cooki", "B", "Accept", "X-Claim", "X-Claim-", "T", "Tea", "É", "_",
			"Y-User-Id", "X-Vser-Id", "Dookie", "X-" + strings.Repeat("Q", 81),
		}, of...)
		set := bridge.NewNames(of...)
		for _, name := range ask {
			name, _ = strings.CutSuffix(name, "*")
			for _, spelled := range []string{
				name, strings.ToUpper(name), strings.ToLower(name), strings.ReplaceAll(name, "-", "_"), strings.ReplaceAll(name, "-", "é"),
				name + "-Role", name + "\xff", http.CanonicalHeaderKey(name), strings.ReplaceAll(name, "e", "\x05"), strings.ReplaceAll(name, "-", "M"),
			} {
				if got, want := set.Has(spelled), careless(of, spelled); got != want {
					t.Errorf("%q: in the set %v, want %v", spelled, got, want)
				}
			}
		}
	}
	if (bridge.Names{}).Has("") || bridge.NewNames().Has("A") || !bridge.NewNames("*").Has("A") || !bridge.NewNames("*").Has("") {
		t.Error("nothing has something, or all has nothing")
	}
}

// careless reports whether one of names is name to who does not look closely.
func careless(names []string, name string) bool {
	fold := func(s string) string {
		return strings.ToLower(strings.Map(func(r rune) rune {
			if r < 0x80 && (r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z') {
				return r
			}
			return '-'
		}, s))
	}
	for _, n := range names {
		if prefix, ok := strings.CutSuffix(n, "*"); ok && strings.HasPrefix(fold(name), fold(prefix)) || fold(n) == fold(name) && !ok {
			return true
		}
	}
	return false
}

func TestNamesHasCostsNoAllocation(t *testing.T) {
	set := bridge.NewNames("X-User-Id", "X-Claim-*")
	if got := testing.AllocsPerRun(100, func() {
		for _, name := range [...]string{"Accept", "X-User-Id", "X-Claim-Role", "X-User-Ip", "X-Request-Id"} {
			set.Has(name)
		}
	}); got > 0 {
		t.Errorf("%v allocations, want none", got)
	}
}
