package main

import (
	"fmt"
	"slices"
	"strings"
)

// benchCase is one kind of load, and how the proxies are set up for it.
type benchCase struct {
	Name  string
	About string
	Conns int
	Path  string
	Body  int   // bytes of a POST's body; 0: GET
	Want  int64 // bytes of the answer's body

	Cores      int  // of the proxy; 0: one
	TLSIn      bool // clients come by TLS
	MTLSOut    bool // the origin is asked by TLS, with a certificate
	Policy     bool // this proxy does all that it can do on the way
	PeerPolicy bool // so do the others, as far as they can
	Idle       int  // connections that are only held; no load
}

var allCases = []benchCase{
	{Name: "c1", About: "128 B, 1 connection", Conns: 1, Path: "/128", Want: 128},
	{Name: "c8", About: "128 B, 8 connections", Conns: 8, Path: "/128", Want: 128},
	{Name: "c64", About: "128 B, 64 connections", Conns: 64, Path: "/128", Want: 128},
	{Name: "c512", About: "128 B, 512 connections", Conns: 512, Path: "/128", Want: 128},
	{Name: "16k", About: "16 KiB, 64 connections", Conns: 64, Path: "/16k", Want: 16 << 10},
	{Name: "1m", About: "1 MiB, 16 connections", Conns: 16, Path: "/1m", Want: 1 << 20},
	{Name: "post", About: "POST of 4 KiB, 64 connections", Conns: 64, Path: "/post", Body: 4 << 10, Want: 128},
	{Name: "chunked", About: "16 KiB in 4 chunks, 64 connections", Conns: 64, Path: "/chunked", Want: 16 << 10},
	{Name: "tls-in", About: "TLS 1.3 from the client, 128 B, 64 connections", Conns: 64, Path: "/128", Want: 128, TLSIn: true},
	{Name: "mtls-out", About: "mTLS to the origin, 128 B, 64 connections", Conns: 64, Path: "/128", Want: 128, MTLSOut: true},
	{Name: "policy", About: "full policy here, none there, 128 B, 64 connections", Conns: 64, Path: "/128", Want: 128, Policy: true},
	{Name: "policy-all", About: "full policy here, the nearest to it there, 128 B, 64 connections", Conns: 64, Path: "/128", Want: 128, Policy: true, PeerPolicy: true},
	{Name: "cores2", About: "two cores, shared with the load, 128 B, 64 connections", Conns: 64, Path: "/128", Want: 128, Cores: 2},
	{Name: "idle", About: "10,000 idle connections, each of which has asked once", Path: "/128", Want: 128, Idle: 10000},
}

// quickCases are those of -quick.
const quickCases = "c1,c64"

// casesOf returns the cases of a list of names, or all.
func casesOf(list string) ([]benchCase, error) {
	if list == "" {
		return allCases, nil
	}
	var of []benchCase
	for name := range strings.SplitSeq(list, ",") {
		i := slices.IndexFunc(allCases, func(c benchCase) bool { return c.Name == name })
		if i < 0 {
			var known []string
			for _, c := range allCases {
				known = append(known, c.Name)
			}
			return nil, fmt.Errorf("there is no case %q: there are %s", name, strings.Join(known, ", "))
		}
		of = append(of, allCases[i])
	}
	return of, nil
}
