package integration_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"outrider/discovery"
	"outrider/integration/meshtest"
	"outrider/internal/config"
)

// Parts of PromQL, as far as the rules and the dashboards use it.
var (
	quotedText     = regexp.MustCompile(`"[^"]*"`)
	metricSelector = regexp.MustCompile(`([a-zA-Z_:][a-zA-Z0-9_:]*)\{([^}]*)\}`)
	labelMatcher   = regexp.MustCompile(`([a-zA-Z_]\w*)\s*(=~|!~|!=|=)\s*"([^"]*)"`)
	labelGrouping  = regexp.MustCompile(`\b(?:by|without|on|ignoring)\s*\(([^)]*)\)`)
	promName       = regexp.MustCompile(`[a-zA-Z_:][a-zA-Z0-9_:]*`)
	sampleLine     = regexp.MustCompile(`(?m)^([a-z_]+)(?:\{(.*)\})? `)
	ruleExprs      = regexp.MustCompile(`(?m)^( +)expr: (?:\|\n((?:\s+.*\n)+?)\n|(.*)$)`)
	ruleRecords    = regexp.MustCompile(`record: (\S+)`)
	ruleLabel      = regexp.MustCompile(`\$labels\.(\w+)`)
	legendLabel    = regexp.MustCompile(`\{\{\s*(\w+)\s*\}\}`)
	labelValuesOf  = regexp.MustCompile(`^label_values\((.+), (\w+)\)$`)
	promWords      = words("sum avg min max count topk rate increase changes histogram_quantile time m")
)

func words(list string) map[string]bool {
	all := map[string]bool{}
	for _, word := range strings.Fields(list) {
		all[word] = true
	}
	return all
}

// vocabulary is what can be asked for: metrics, their labels and what these have been
// seen to say.
type vocabulary map[string]map[string]map[string]bool

// learn adds what an exposition shows.
func (v vocabulary) learn(exposition string) {
	for _, line := range sampleLine.FindAllStringSubmatch(exposition, -1) {
		if v[line[1]] == nil {
			v[line[1]] = map[string]map[string]bool{"job": nil, "instance": nil} // Prometheus' own
		}
		for _, m := range labelMatcher.FindAllStringSubmatch(line[2], -1) {
			if v[line[1]][m[1]] == nil {
				v[line[1]][m[1]] = map[string]bool{}
			}
			v[line[1]][m[1]][m[3]] = true
		}
	}
}

func (v vocabulary) label(name string) bool {
	for _, labels := range v {
		if _, ok := labels[name]; ok {
			return true
		}
	}
	return false
}

// exported is what the proxies export: a gateway and a sidecar that run, and what only a
// Telemetry that has seen everything shows.
func exported(t *testing.T) vocabulary {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "internal", "telemetry", "testdata", "metrics.txt"))
	if err != nil {
		t.Fatal(err)
	}
	all := vocabulary{}
	all.learn(string(text))
	golden := len(all)

	origin := meshtest.Origin(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) })
	gateway := started(t, config.Ingress, freePorts+"services: {tea: {url: "+origin.URL+"}}\nrouting: [{path: /tea, service: tea}]\n", nil)
	sidecar := started(t, config.Run, fmt.Sprintf(`
service: {name: orders, app: %q}
inbound: {listen: "127.0.0.1:0"}
outbound: {listen: "127.0.0.1:0"}
admin: {listen: "127.0.0.1:0"}
consul: {}
services: {tea: {url: %q}}
`, strings.TrimPrefix(origin.URL, "http://"), origin.URL), &discovery.Memory{})
	get(t, http.MethodGet, "http://"+gateway.Server+"/tea")
	get(t, http.MethodGet, "http://"+sidecar.Inbound+"/tea")
	get(t, http.MethodGet, "http://"+sidecar.Outbound+"/tea", "Host", "tea")
	get(t, http.MethodGet, "http://"+sidecar.Outbound+"/tea", "Host", "nobody")
	for _, of := range []string{gateway.Admin, sidecar.Admin} {
		eventually(t, "the requests are counted", func() bool {
			status, metrics := get(t, http.MethodGet, "http://"+of+"/metrics")
			all.learn(metrics)
			return status == http.StatusOK && strings.Contains(metrics, "outrider_attempt_duration_seconds_count{")
		})
	}
	if golden < 30 || !all["outrider_attempt_duration_seconds_count"]["direction"]["outbound"] || !all["outrider_attempt_duration_seconds_count"]["direction"]["inbound"] {
		t.Fatalf("%d metrics, %v: what is exported is not read any more", golden, all["outrider_attempt_duration_seconds_count"])
	}
	return all
}

// fault says what in an expression nobody exports.
func (v vocabulary) fault(expr string) string {
	for _, s := range metricSelector.FindAllStringSubmatch(expr, -1) {
		if v[s[1]] == nil {
			return "there is no metric " + s[1]
		}
		for _, m := range labelMatcher.FindAllStringSubmatch(s[2], -1) {
			if fault := v.matcherFault(s[1], m[1], m[2], m[3]); fault != "" {
				return fault
			}
		}
	}
	for _, g := range labelGrouping.FindAllStringSubmatch(expr, -1) {
		for _, label := range promName.FindAllString(g[1], -1) {
			if !v.label(label) {
				return "there is no label " + label
			}
		}
	}
	rest := labelGrouping.ReplaceAllString(metricSelector.ReplaceAllString(quotedText.ReplaceAllString(expr, ""), "$1"), "")
	for _, n := range promName.FindAllString(rest, -1) {
		if _, ok := v[n]; !ok && !promWords[n] {
			return "there is no metric " + n
		}
	}
	return ""
}

func (v vocabulary) matcherFault(metric, label, op, value string) string {
	seen, ok := v[metric][label]
	switch {
	case !ok:
		return metric + " has no label " + label
	case strings.HasPrefix(value, "$") || label == "job" || label == "instance":
		return "" // whoever looks chooses
	case strings.HasSuffix(op, "~"):
		for _, one := range strings.Split(value, "|") {
			if !slices.ContainsFunc(keys(seen), regexp.MustCompile("^(?:"+one+")$").MatchString) {
				return metric + ": " + label + " never says " + one
			}
		}
	case !seen[value]:
		return metric + ": " + label + " never says " + value
	}
	return ""
}

func keys(m map[string]bool) []string {
	var all []string
	for key := range m {
		all = append(all, key)
	}
	return all
}

// recorded are the expressions of rules.yml; the records become words.
func (v vocabulary) recorded(t *testing.T) []string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(deployFolder, "prometheus", "rules.yml"))
	if err != nil {
		t.Fatal(err)
	}
	v["up"] = map[string]map[string]bool{"job": nil, "instance": nil}
	for _, r := range ruleRecords.FindAllStringSubmatch(string(text), -1) {
		v[r[1]] = map[string]map[string]bool{}
	}
	var exprs []string
	for _, e := range ruleExprs.FindAllStringSubmatch(string(text), -1) {
		exprs = append(exprs, strings.TrimSpace(e[2]+e[3]))
	}
	if want := strings.Count(string(text), "expr:"); len(exprs) != want || want < 20 {
		t.Fatalf("%d of %d expressions: this test does not read them any more", len(exprs), want)
	}
	for _, l := range ruleLabel.FindAllStringSubmatch(string(text), -1) {
		if !v.label(l[1]) {
			t.Errorf("rules.yml speaks of the label %s, which there is not", l[1])
		}
	}
	return exprs
}

// board is a dashboard of Grafana's, as far as it matters here.
type board struct {
	UID, Title string
	Tags       []string
	Panels     []struct {
		ID          int
		Type, Title string
		GridPos     struct{ X, Y, W, H int }
		Targets     []struct{ Expr, LegendFormat string }
	}
	Templating struct {
		List []struct {
			Name, Type string
			Definition string
		}
	}
	Annotations struct {
		List []struct{ Expr, TitleFormat string }
	}
}

// expressions returns what the dashboard asks for, its variables replaced by any value,
// and reports variables and labels that there are not.
func (b *board) expressions(t *testing.T, v vocabulary) []string {
	t.Helper()
	replace := []string{"$__rate_interval", "5m", "$__interval", "5m"}
	var exprs []string
	for _, variable := range b.Templating.List {
		replace = append(replace, `"$`+variable.Name+`"`, `".*"`)
		if variable.Type != "query" {
			continue
		}
		q := labelValuesOf.FindStringSubmatch(variable.Definition)
		if q == nil || !v.label(q[2]) {
			t.Errorf("the variable %s asks for %q", variable.Name, variable.Definition)
			continue
		}
		exprs = append(exprs, q[1])
	}
	add := func(expr, legend string) {
		exprs = append(exprs, expr)
		for _, l := range legendLabel.FindAllStringSubmatch(legend, -1) {
			by := labelGrouping.FindStringSubmatch(expr)
			if !v.label(l[1]) || by != nil && !slices.Contains(promName.FindAllString(by[1], -1), l[1]) {
				t.Errorf("%q has no label %s", expr, l[1])
			}
		}
	}
	for _, p := range b.Panels {
		for _, target := range p.Targets {
			add(target.Expr, target.LegendFormat)
		}
	}
	for _, a := range b.Annotations.List {
		add(a.Expr, a.TitleFormat)
	}
	for i := range exprs {
		exprs[i] = strings.NewReplacer(replace...).Replace(exprs[i])
		if strings.Contains(exprs[i], "$") {
			t.Errorf("%s: a variable that there is not", exprs[i])
		}
	}
	return exprs
}

// laidOut holds that the panels lie in the grid, beside and not on each other.
func (b *board) laidOut(t *testing.T) {
	t.Helper()
	taken, ids := map[[2]int]string{}, map[int]bool{}
	for _, p := range b.Panels {
		if ids[p.ID] || p.Title == "" || (p.Type == "row") != (len(p.Targets) == 0) {
			t.Errorf("panel %d %q is there twice, or has no title, or asks for nothing", p.ID, p.Title)
		}
		ids[p.ID] = true
		at := p.GridPos
		if at.X < 0 || at.W < 1 || at.X+at.W > 24 || at.H < 1 {
			t.Errorf("panel %q lies outside the grid: %+v", p.Title, at)
		}
		for x := at.X; x < at.X+at.W; x++ {
			for y := at.Y; y < at.Y+at.H; y++ {
				if other, ok := taken[[2]int{x, y}]; ok {
					t.Fatalf("panels %q and %q lie on each other", other, p.Title)
				}
				taken[[2]int{x, y}] = p.Title
			}
		}
	}
}

// A rule or a panel on a metric or a label that nobody exports shows nothing, and nobody
// notices. And what is exported is to be seen somewhere.
func TestRulesAndDashboardsNameWhatIsExported(t *testing.T) {
	v := exported(t)
	ours := len(v)
	exprs := v.recorded(t)
	files, err := filepath.Glob(filepath.Join(deployFolder, "grafana", "*.json"))
	if err != nil || len(files) != 2 {
		t.Fatalf("%d dashboards (%v): they are not where they should be", len(files), err)
	}
	uids := map[string]bool{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var b board
		if err := json.Unmarshal(text, &b); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		if uids[b.UID] || b.UID == "" || b.Title == "" || !slices.Contains(b.Tags, "outrider") {
			t.Errorf("%s: uid %q, title %q, tags %v", file, b.UID, b.Title, b.Tags)
		}
		uids[b.UID] = true
		b.laidOut(t)
		asked := b.expressions(t, v)
		if len(asked) < 30 {
			t.Fatalf("%s: %d expressions: this test does not read them any more", file, len(asked))
		}
		exprs = append(exprs, asked...)
	}
	var all strings.Builder
	all.WriteString("groups:\n- name: all\n  rules:\n")
	for i, e := range exprs {
		if fault := v.fault(e); fault != "" {
			t.Errorf("%s: %s", e, fault)
		}
		fmt.Fprintf(&all, "  - {record: 'r%d', expr: %q}\n", i, e)
	}
	promtool(t, "", "check", "rules", write(t, all.String()))
	for metric := range v {
		family := regexp.MustCompile(`_(bucket|sum|count)$`).ReplaceAllString(metric, "")
		if regexp.MustCompile(`^(gateway|outrider)_`).MatchString(metric) && !strings.Contains(all.String(), family) {
			t.Errorf("no rule and no panel shows %s", metric)
		}
	}
	if ours < 30 {
		t.Errorf("%d metrics", ours)
	}
}

func TestNamesThatNobodyExportsAreFound(t *testing.T) {
	v := vocabulary{}
	v.learn("gateway_requests_total{service=\"a\",status_code=\"503\"} 1\noutrider_panic{service=\"a\"} 0\noutrider_endpoints{state=\"healthy\"} 1\n")
	for expr, want := range map[string]string{
		`sum by (service) (rate(gateway_requests_total{status_code=~"5.."}[5m])) > 0`: "",
		`gateway_requests_total{service=~"$service", job="x"}`:                        "",
		`rate(gateway_request_total[5m])`:                                             "there is no metric gateway_request_total",
		`gateway_request_total{service="a"}`:                                          "there is no metric gateway_request_total",
		`gateway_requests_total{status="500"}`:                                        "gateway_requests_total has no label status",
		`gateway_requests_total{status_code=~"5..|4.."}`:                              "gateway_requests_total: status_code never says 4..",
		`sum by (svc) (outrider_panic)`:                                               "there is no label svc",
		`outrider_endpoints{state="well"}`:                                            "outrider_endpoints: state never says well",
		`outrider_endpoints{state!="well"}`:                                           "outrider_endpoints: state never says well",
		`median(outrider_panic)`:                                                      "there is no metric median",
	} {
		if got := v.fault(expr); got != want {
			t.Errorf("%s: %q, want %q", expr, got, want)
		}
	}
}
