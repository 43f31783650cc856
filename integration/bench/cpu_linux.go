package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"time"
	"unsafe"
)

// tick is the unit of the times in /proc.
const tick = 10 * time.Millisecond

// usageOf adds up the processes. /proc tells user from system time in hundredths of a
// second; their sum is also a clock of the kernel's, in nanoseconds.
func usageOf(pids []int) (usage, error) {
	var sum usage
	for _, pid := range pids {
		var at syscall.Timespec
		clock := ^pid<<3 | 2 // CPUCLOCK_SCHED of a process
		if _, _, errno := syscall.RawSyscall(syscall.SYS_CLOCK_GETTIME, uintptr(clock), uintptr(unsafe.Pointer(&at)), 0); errno != 0 {
			return usage{}, fmt.Errorf("the CPU clock of process %d: %w", pid, errno)
		}
		fields, err := stat(pid)
		if err != nil {
			return usage{}, err
		}
		user, err := strconv.Atoi(string(fields[11]))
		if err != nil {
			return usage{}, err
		}
		system, err := strconv.Atoi(string(fields[12]))
		if err != nil {
			return usage{}, err
		}
		sum.Total += time.Duration(at.Nano())
		sum.User += time.Duration(user) * tick
		sum.System += time.Duration(system) * tick
	}
	return sum, nil
}

// stat returns the fields of /proc/PID/stat after the name: the third, the state, is
// the first of them.
func stat(pid int) ([][]byte, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return nil, err
	}
	fields := bytes.Fields(b[bytes.LastIndexByte(b, ')')+1:])
	if len(fields) < 20 {
		return nil, fmt.Errorf("/proc/%d/stat is %q", pid, b)
	}
	return fields, nil
}

// family returns a process and all that descend from it.
func family(pid int) ([]int, error) {
	all, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return nil, err
	}
	children := map[int][]int{}
	for _, dir := range all {
		id, err := strconv.Atoi(filepath.Base(dir))
		if err != nil {
			continue
		}
		fields, err := stat(id)
		if err != nil {
			continue // it has ended meanwhile
		}
		parent, _ := strconv.Atoi(string(fields[1]))
		children[parent] = append(children[parent], id)
	}
	of := []int{pid}
	for i := 0; i < len(of); i++ {
		of = append(of, children[of[i]]...)
	}
	return of, nil
}

func memoryOf(pids []int) (memory, error) {
	var sum memory
	for _, pid := range pids {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
		if err != nil {
			return memory{}, err
		}
		for line := range bytes.Lines(b) {
			fields := bytes.Fields(line)
			if len(fields) != 3 {
				continue
			}
			n, _ := strconv.ParseInt(string(fields[1]), 10, 64)
			switch string(fields[0]) {
			case "Rss:":
				sum.Resident += n << 10
			case "Pss:":
				sum.Shared += n << 10
			}
		}
	}
	return sum, nil
}
