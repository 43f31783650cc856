package main

import (
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"unsafe"
)

// cpuSet is a set of the machine's cores.
type cpuSet [16]uint64

func (s *cpuSet) add(core int) { s[core/64] |= 1 << (core % 64) }

// allowed returns the cores that this process may use.
func allowed() ([]int, error) {
	var s cpuSet
	if _, _, errno := syscall.RawSyscall(syscall.SYS_SCHED_GETAFFINITY, 0, unsafe.Sizeof(s), uintptr(unsafe.Pointer(&s))); errno != 0 {
		return nil, fmt.Errorf("which cores there are: %w", errno)
	}
	var cores []int
	for core := range len(s) * 64 {
		if s[core/64]&(1<<(core%64)) != 0 {
			cores = append(cores, core)
		}
	}
	return cores, nil
}

// pin keeps the calling thread, and all that it starts, on cores.
func pin(cores []int) error {
	var s cpuSet
	for _, core := range cores {
		s.add(core)
	}
	if _, _, errno := syscall.RawSyscall(syscall.SYS_SCHED_SETAFFINITY, 0, unsafe.Sizeof(s), uintptr(unsafe.Pointer(&s))); errno != 0 {
		return fmt.Errorf("pin to cores %v: %w", cores, errno)
	}
	return nil
}

// runPinned becomes the command args[1:], on the cores that args[0] lists.
func runPinned(args []string) error {
	if len(args) < 2 {
		return fmt.Errorf("pin: which cores, and which command?")
	}
	var cores []int
	for s := range strings.SplitSeq(args[0], ",") {
		core, err := strconv.Atoi(s)
		if err != nil {
			return fmt.Errorf("pin: %w", err)
		}
		cores = append(cores, core)
	}
	file, err := exec.LookPath(args[1])
	if err != nil {
		return err
	}
	if err := pin(cores); err != nil {
		return err
	}
	takePrecedence()
	return syscall.Exec(file, args[1:], os.Environ())
}

// schedAttr is what sched_setattr takes.
type schedAttr struct {
	size, policy                uint32
	flags                       uint64
	nice                        int32
	priority                    uint32
	runtime, deadline, interval uint64 // nanoseconds; of an ordinary process, runtime is its slice
}

// takePrecedence has what is measured, and what measures it, go before whatever else
// the machine does, all of them alike, where that is allowed. Short slices have the
// load and the origin, which share a core, give way to each other at once: otherwise
// what the latencies show is mostly how long the one waits for the other.
func takePrecedence() {
	const much, slice, sysSchedSetattr = -10, 100_000, 314
	_ = os.WriteFile("/proc/self/autogroup", []byte(strconv.Itoa(much)), 0) // the scheduler weighs sessions first
	a := schedAttr{nice: much, runtime: slice}
	a.size = uint32(unsafe.Sizeof(a))
	if _, _, errno := syscall.RawSyscall(sysSchedSetattr, 0, uintptr(unsafe.Pointer(&a)), 0); errno != 0 { // root alone may raise itself
		a.nice = 0
		_, _, _ = syscall.RawSyscall(sysSchedSetattr, 0, uintptr(unsafe.Pointer(&a)), 0)
	}
}

// joinCores writes cores as runPinned reads them.
func joinCores(cores []int) string {
	var s []string
	for _, core := range cores {
		s = append(s, strconv.Itoa(core))
	}
	return strings.Join(s, ",")
}
