package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"syscall"
	"time"
)

func main() {
	runtime.LockOSThread() // the children end with the thread that has started them
	if err := dispatch(os.Args[1:]); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// dispatch is told the arguments: with a first word the program is one of its own
// children.
func dispatch(args []string) error {
	if len(args) >= 2 {
		switch args[0] {
		case "pin":
			return runPinned(args[1:])
		case "origin":
			return runOrigin(args[1], os.Stdout)
		case "load":
			return runLoad(args[1], os.Stdout)
		case "hold":
			return runHold(args[1], os.Stdin, os.Stdout)
		}
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	return measure(ctx, args)
}

// measure is the command as people call it.
func measure(ctx context.Context, args []string) error {
	b := &bench{report: &report{out: os.Stdout}}
	if err := b.parse(args); err != nil {
		return err
	}
	var err error
	if b.self, err = here(); err != nil {
		return err
	}
	if b.cores, err = allowed(); err != nil {
		return err
	}
	if len(b.cores) < 2 {
		return errors.New("a proxy and its load need a core each, and this machine has one")
	}
	if b.peers, err = installed(b.proxies, b.sidecar); err != nil {
		return err
	}
	began := time.Now()
	if err := b.run(ctx); err != nil {
		return err
	}
	b.report.judge()
	fmt.Printf("\n%s in all\n", time.Since(began).Round(time.Second))
	if b.out == "" {
		return nil
	}
	return b.report.save(b.out)
}

func (b *bench) parse(args []string) error {
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	quick := flags.Bool("quick", false, "in less than two minutes: -cases "+quickCases+" -rounds 3 -duration 1s -warmup 250ms")
	flags.StringVar(&b.cases, "cases", "", "names of cases, with commas between; empty: all")
	flags.StringVar(&b.proxies, "proxies", "", "names of proxies, with commas between; empty: all that are installed")
	flags.IntVar(&b.rounds, "rounds", 5, "how often each case is measured with each proxy")
	flags.DurationVar(&b.duration, "duration", 1500*time.Millisecond, "of one measurement")
	flags.DurationVar(&b.warmup, "warmup", 300*time.Millisecond, "load before each measurement")
	flags.StringVar(&b.out, "out", "", "the file for every round's figures, in JSON; empty: none")
	flags.StringVar(&b.profile, "profile", "", "the file for a profile of our processor time in the case c64; empty: none")
	flags.StringVar(&b.sidecar, "sidecar", "bin/sidecar", "our proxy")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("%q is no flag", flags.Arg(0))
	}
	if *quick {
		given := map[string]bool{}
		flags.Visit(func(f *flag.Flag) { given[f.Name] = true })
		b.quick(given)
	}
	if b.rounds < 1 || b.rounds > 100 || b.duration < 100*time.Millisecond || b.duration > time.Minute || b.warmup < 0 || b.warmup > time.Minute {
		return errors.New("rounds are 1 to 100, durations 100ms to 1m")
	}
	return nil
}

// quick sets what the command line has not.
func (b *bench) quick(given map[string]bool) {
	if !given["cases"] {
		b.cases = quickCases
	}
	if !given["rounds"] {
		b.rounds = 3
	}
	if !given["duration"] {
		b.duration = time.Second
	}
	if !given["warmup"] {
		b.warmup = 250 * time.Millisecond
	}
}
