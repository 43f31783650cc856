package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"
)

// fetch returns what an admin port answers to a path.
func fetch(ctx context.Context, admin, path string) (io.ReadCloser, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+admin+path, http.NoBody)
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		_ = resp.Body.Close()
		return nil, fmt.Errorf("%s answers %s", path, resp.Status)
	}
	return resp.Body, nil
}

// mallocs returns how many objects the process behind an admin port has allocated.
func mallocs(ctx context.Context, admin string) (float64, error) {
	body, err := fetch(ctx, admin, "/metrics")
	if err != nil {
		return 0, err
	}
	defer body.Close()
	for lines := bufio.NewScanner(body); lines.Scan(); {
		if figure, ok := strings.CutPrefix(lines.Text(), "go_memstats_mallocs_total "); ok {
			return strconv.ParseFloat(figure, 64)
		}
	}
	return 0, fmt.Errorf("/metrics lacks go_memstats_mallocs_total")
}

// allocations counts what a proxy allocates while work runs, less what asking for
// the count costs.
func allocations(ctx context.Context, admin string, work func() error) (float64, error) {
	var at [3]float64
	for i := range at {
		var err error
		if i == 2 {
			err = work()
		}
		if err == nil {
			at[i], err = mallocs(ctx, admin)
		}
		if err != nil {
			return 0, err
		}
	}
	return max(at[2]-at[1]-(at[1]-at[0]), 0), nil
}

// profile writes to file where the processor time of the process behind an admin
// port goes, for so long.
func profile(ctx context.Context, admin, file string, during time.Duration) error {
	body, err := fetch(ctx, admin, fmt.Sprintf("/debug/pprof/profile?seconds=%d", int(during.Seconds())))
	if err != nil {
		return err
	}
	defer body.Close()
	out, err := os.Create(file)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, body)
	if closed := out.Close(); err == nil {
		err = closed
	}
	return err
}
