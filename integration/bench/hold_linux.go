package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"syscall"
)

// runHold opens the connections of an order, asks once over each, writes a line to w,
// and keeps them until stdin ends. That is what a client with a pool does.
func runHold(arg string, stdin io.Reader, w io.Writer) error {
	var o order
	if err := json.Unmarshal([]byte(arg), &o); err != nil {
		return err
	}
	to, err := net.ResolveTCPAddr("tcp4", o.Addr)
	if err != nil {
		return err
	}
	request, buf := o.bytes(), make([]byte, 64<<10)
	for i := range o.Conns {
		fd, err := connect(to)
		if err == nil {
			err = askOnce(fd, request, answer{want: o.Want}, buf)
		}
		if err != nil {
			return fmt.Errorf("%s: connection %d: %w", o.Addr, i+1, err)
		}
	}
	if _, err := fmt.Fprintln(w, `"held"`); err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, stdin)
	return err
}

func askOnce(fd int, request []byte, a answer, buf []byte) error {
	if err := syscall.SetNonblock(fd, false); err != nil {
		return err
	}
	if _, err := syscall.Write(fd, request); err != nil {
		return err
	}
	for {
		n, err := syscall.Read(fd, buf)
		if err == syscall.EINTR { //nolint:errorlint // a bare number
			continue
		}
		if err != nil {
			return err
		}
		if n == 0 {
			return errors.New("the proxy has closed it")
		}
		if _, done, err := a.take(buf[:n]); done || err != nil {
			return err
		}
	}
}
