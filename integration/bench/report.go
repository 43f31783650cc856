package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"text/tabwriter"
	"time"
)

// report is all that a run has found, as it is written to a file.
type report struct {
	Date     time.Time         `json:"date"`
	Machine  machine           `json:"machine"`
	Versions map[string]string `json:"versions"`
	Settings settings          `json:"settings"`
	Results  []*result         `json:"results"`

	out io.Writer
}

// settings is how long a run measures, and how often.
type settings struct {
	Rounds   int    `json:"rounds"`
	Duration string `json:"duration"`
	Warmup   string `json:"warmup"`
	Load     []int  `json:"load_cores"`
	Proxy    []int  `json:"proxy_cores"`
}

func (r *report) add(of *result) {
	r.Results = append(r.Results, of)
	fmt.Fprintf(r.out, "\n%s: %s\n", of.Case, of.About)
	table := tabwriter.NewWriter(r.out, 0, 0, 2, ' ', tabwriter.AlignRight)
	if len(of.Memory) > 0 {
		of.writeMemory(table)
	} else {
		of.writeLoad(table)
	}
	_ = table.Flush() // as all writing to the terminal
}

func (r *result) writeLoad(w io.Writer) {
	fmt.Fprintln(w, "\treq/s\tCPU µs/req\tuser\tbusy\tp50 µs\tp99\tp99.9\tat req/s\tallocs/req\tCPU × ours\treq/s × ours\tp99 × ours\t")
	for _, name := range r.names() {
		mid := func(of func(sample) float64) float64 { return spreadOf(r.figures(name, of)).Median }
		allocations := "-"
		if s := spreadOf(r.figures(name, allocationsOf)); s.Rounds > 0 {
			allocations = fmt.Sprintf("%.1f", s.Median)
		}
		fmt.Fprintf(w, "%s\t%.0f\t%.2f\t%.0f%%\t%.2f\t%.0f\t%.0f\t%.0f\t%.0f%s\t%s\t%s\t%s\t%s\t\n", name,
			mid(rpsOf), mid(cpuOf), 100*mid(userOf)/mid(cpuOf), mid(busyOf), mid(p50Of), mid(p99Of), mid(p999Of),
			mid(rateOf), r.ownRate(name), allocations, r.against(name, cpuOf), r.against(name, rpsOf), r.against(name, p99Of))
	}
}

// ownRate marks latencies at a rate that is not the others'.
func (r *result) ownRate(name string) string {
	for _, s := range r.Samples {
		if s.Proxy == name && s.OwnRate {
			return "*"
		}
	}
	return ""
}

// against is our figure as a multiple of a peer's, round by round.
func (r *result) against(name string, of func(sample) float64) string {
	if name == ours {
		return ""
	}
	return ratios(r.figures(ours, of), r.figures(name, of)).String()
}

func (r *result) writeMemory(w io.Writer) {
	fmt.Fprintln(w, "\tMiB at start\tMiB with connections\tbytes a connection\tproportional, MiB\t")
	for _, name := range r.names() {
		idle := spreadOf(r.memory(name, idleOf)).Median
		held := spreadOf(r.memory(name, heldOf)).Median
		shared := spreadOf(r.memory(name, func(s memorySample) int64 { return s.Held.Shared })).Median
		fmt.Fprintf(w, "%s\t%.1f\t%.1f\t%.0f\t%.1f\t\n", name, idle, held, (held-idle)*(1<<20)/float64(r.Memory[0].Connections), shared)
	}
}

func idleOf(s memorySample) int64 { return s.Idle.Resident }
func heldOf(s memorySample) int64 { return s.Held.Resident }

// save writes everything, as JSON.
func (r *report) save(file string) error {
	b, err := json.MarshalIndent(r, "", " ")
	if err != nil {
		return err
	}
	return os.WriteFile(file, append(b, '\n'), 0o644)
}
