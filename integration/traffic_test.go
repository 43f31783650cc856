package integration_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// traffic is clients that send whatever becomes of earlier requests: an open loop.
type traffic struct {
	url          string
	request      func(n int) (method, path, body string)
	kept, fresh  *http.Client
	done, failed atomic.Int64

	mu  sync.Mutex // protects why
	why []string
}

func newTraffic(url string, request func(int) (method, path, body string)) *traffic {
	return &traffic{
		url: url, request: request,
		kept:  &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: soakWorkers, IdleConnTimeout: 20 * time.Second}},
		fresh: &http.Client{Transport: &http.Transport{DisableKeepAlives: true}},
	}
}

// run sends until ctx ends, and waits for the last answer.
func (c *traffic) run(ctx context.Context) {
	due := make(chan int, 4*soakPace)
	var workers sync.WaitGroup
	for range soakWorkers {
		workers.Go(func() { c.work(due) })
	}
	c.pace(ctx, due)
	workers.Wait()
	c.kept.CloseIdleConnections()
}

// pace says when a request falls due, and closes due when ctx ends.
func (c *traffic) pace(ctx context.Context, due chan<- int) {
	defer close(due)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	began := time.Now()
	for sent := 0; ; {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		for want := int(time.Since(began).Seconds() * soakPace); sent < want; sent++ {
			select {
			case due <- sent:
			case <-ctx.Done():
				return
			}
		}
	}
}

func (c *traffic) work(due <-chan int) {
	for n := range due {
		if err := c.send(n); err != nil {
			c.failed.Add(1)
			c.mu.Lock()
			c.why = append(c.why, fmt.Sprintf("request %d: %v", n, err))
			c.mu.Unlock()
		}
		c.done.Add(1)
	}
}

// send makes request n, every twentieth on a connection of its own.
func (c *traffic) send(n int) error {
	method, path, body := c.request(n)
	// The request outlives the soak's end: it is to be answered, too.
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, c.url+path, strings.NewReader(body))
	if err != nil {
		return err
	}
	client := c.kept
	if n%20 == 0 {
		client = c.fresh
	}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	got, err := io.ReadAll(resp.Body)
	switch {
	case err != nil:
		return fmt.Errorf("%s %s: body: %w", method, path, err)
	case resp.StatusCode != http.StatusOK:
		return fmt.Errorf("%s %s: %s: %s", method, path, resp.Status, got)
	case method == http.MethodPut && !bytes.Equal(got, []byte(body)):
		return fmt.Errorf("%s %s: %d bytes came back of %d", method, path, len(got), len(body))
	}
	return nil
}

// await waits until so many more requests have been answered, or ctx has ended.
func (c *traffic) await(ctx context.Context, more int64) {
	look := time.NewTicker(10 * time.Millisecond)
	defer look.Stop()
	for until := c.done.Load() + more; c.done.Load() < until; {
		select {
		case <-look.C:
		case <-ctx.Done():
			return
		}
	}
}

// reasons returns why requests failed, the first few.
func (c *traffic) reasons() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.why[:min(len(c.why), 20)]
}
