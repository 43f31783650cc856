package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// process is one that the benchmark has started. It ends with the benchmark.
type process struct {
	name string
	pid  int
	stop func() // returns when it has ended
	log  string // the file that has its standard error
}

// launch starts a command on cores. Out, where there is one, gets its standard output;
// the rest goes to a file in dir.
func (b *bench) launch(ctx context.Context, name string, cores []int, line []string) (*process, *json.Decoder, error) {
	ctx, cancel := context.WithCancel(ctx)
	cmd := exec.CommandContext(ctx, b.self, append([]string{"pin", joinCores(cores)}, line...)...)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 10 * time.Second
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM, Setsid: true}
	cmd.Env = append(os.Environ(), fmt.Sprintf("GOMAXPROCS=%d", len(cores)), "HOME="+b.dir, "XDG_CONFIG_HOME="+b.dir, "XDG_DATA_HOME="+b.dir)
	p := &process{name: name, log: filepath.Join(b.dir, name+".log")}
	log, err := os.Create(p.log)
	if err != nil {
		cancel()
		return nil, nil, err
	}
	defer log.Close()
	cmd.Stderr = log
	out, err := cmd.StdoutPipe()
	if err == nil {
		_, err = cmd.StdinPipe() // it is closed when the command is waited for
	}
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		cancel()
		return nil, nil, fmt.Errorf("%s: %w", name, err)
	}
	p.pid = cmd.Process.Pid
	p.stop = func() { cancel(); _ = cmd.Wait() } // how it ends does not matter any more
	return p, json.NewDecoder(out), nil
}

// said returns the end of what a process has written to standard error.
func (p *process) said() string {
	text, err := os.ReadFile(p.log)
	if err != nil || len(text) == 0 {
		return ""
	}
	return "; it said: " + strings.TrimSpace(string(text[max(len(text)-1000, 0):]))
}

// proxy is one that answers.
type proxy struct {
	*process
	addr  string
	admin string
	pids  []int // its own, and those of its children
}

// startProxy starts a peer as the case wants it, and waits until it answers.
func (b *bench) startProxy(ctx context.Context, p peer, c benchCase) (*proxy, error) {
	cores := b.cores.proxy(max(c.Cores, 1))
	s := setting{
		benchCase: c, Cores: len(cores), Dir: b.dir, Scheme: "http", Origins: []string{b.origin.Plain}, Validate: b.origin.Plain,
		ServerName: serverName, Token: token, Root: os.Getuid() == 0,
	}
	if p.name != ours {
		s.Policy = c.PeerPolicy
	}
	if c.Policy {
		s.Origins = append(s.Origins, b.origin.Second)
	}
	if c.MTLSOut {
		s.Scheme, s.Origins = "https", []string{b.origin.TLS}
	}
	addrs, err := freePorts(ctx, 2)
	if err != nil {
		return nil, err
	}
	s.Port, s.Admin = addrs[0].Port, addrs[1].String()
	if err := p.configure(s); err != nil {
		return nil, fmt.Errorf("%s: %w", p.name, err)
	}
	run, _, err := b.launch(ctx, p.name, cores, p.commandLine(b.dir, len(cores)))
	if err != nil {
		return nil, err
	}
	started := &proxy{process: run, addr: addrs[0].String(), admin: s.Admin}
	if err := b.ready(ctx, started.addr, c); err != nil {
		run.stop()
		return nil, fmt.Errorf("%s does not answer: %w%s", p.name, err, run.said())
	}
	started.pids, err = family(run.pid)
	return started, err
}

// freePorts returns addresses of loopback that nobody listens on.
func freePorts(ctx context.Context, count int) ([]*net.TCPAddr, error) {
	var free []*net.TCPAddr
	for range count {
		var l net.ListenConfig
		held, err := l.Listen(ctx, "tcp4", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer held.Close()
		free = append(free, held.Addr().(*net.TCPAddr))
	}
	return free, nil
}

// ready waits until the proxy at addr answers the case's path, for 10 s at most.
func (b *bench) ready(ctx context.Context, addr string, c benchCase) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	transport := &http.Transport{DisableKeepAlives: true}
	scheme := "http"
	if c.TLSIn {
		var err error
		if transport.TLSClientConfig, err = clientTLS(b.dir); err != nil {
			return err
		}
		scheme = "https"
	}
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	for last := error(nil); ; {
		err := askFor(ctx, &http.Client{Transport: transport}, scheme+"://"+addr+"/128")
		if err == nil {
			return nil
		}
		if ctx.Err() == nil {
			last = err
		}
		select {
		case <-ctx.Done():
			return errors.Join(last, ctx.Err())
		case <-again.C:
		}
	}
}

func askFor(ctx context.Context, client *http.Client, url string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return err
	}
	req.Host = serverName
	req.Header.Set("Authorization", "Bearer "+token)
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("it answers %s", resp.Status)
	}
	return nil
}
