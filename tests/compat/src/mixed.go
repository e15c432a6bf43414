// SPDX-License-Identifier: GPL-2.0-or-later

// Go: goroutines on all CPUs, the collector with its write barriers, panics out of faults, preemption by signals, big numbers.
package main

import (
	"crypto/sha256"
	"fmt"
	"math"
	"math/big"
	"os"
	"os/exec"
	"runtime"
	"sort"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

type node struct {
	left, right *node
	v           int
}

func tree(d int) *node {
	if d == 0 {
		return &node{v: 1}
	}
	return &node{tree(d - 1), tree(d - 1), d}
}

func (n *node) sum() int {
	if n == nil {
		return 0
	}
	return n.v + n.left.sum() + n.right.sum()
}

func faults(i int) (what string) {
	defer func() {
		if e := recover(); e != nil {
			what = fmt.Sprint(e)
		}
	}()
	var p *node
	var m map[string]int
	a := []int{1, 2, 3}
	zero := i - i
	switch i % 5 {
	case 0:
		return strconv.Itoa(p.v)
	case 1:
		m["x"] = 1
	case 2:
		return strconv.Itoa(a[i+5])
	case 3:
		return strconv.Itoa(i / zero)
	}
	var x interface{} = "s"
	return strconv.Itoa(x.(int))
}

func main() {
	n := 200
	if len(os.Args) > 1 {
		n, _ = strconv.Atoi(os.Args[1])
	}
	count := map[string]int{}
	for i := 0; i < n*5; i++ {
		w := faults(i)
		if k := strings.Index(w, "range"); k >= 0 {
			w = w[:k]
		}
		count[w]++
	}
	var keys []string
	for k := range count {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	for _, k := range keys {
		fmt.Println(count[k], k)
	}
	var wg sync.WaitGroup
	var total int64
	in, out := make(chan int), make(chan string)
	for w := 0; w < 8; w++ {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for k := range in {
				atomic.AddInt64(&total, int64(tree(10+k%3).sum()))
				out <- fmt.Sprintf("%x", sha256.Sum256([]byte(strconv.Itoa(k))))[:8]
			}
		}()
	}
	go func() {
		for k := 0; k < n; k++ {
			in <- k
		}
		close(in)
		wg.Wait()
		close(out)
	}()
	var all []string
	for s := range out {
		all = append(all, s)
	}
	sort.Strings(all)
	fmt.Println(total, len(all), all[:3])
	f := big.NewInt(1)
	for k := int64(1); k < 500; k++ {
		f.Mul(f, big.NewInt(k))
	}
	fmt.Printf("%x\n", sha256.Sum256([]byte(f.String())))
	s := 0.0
	for k := 1; k < n*500; k++ {
		s += math.Sin(float64(k)) / math.Sqrt(float64(k))
	}
	fmt.Printf("%.12f %v\n", s, math.FMA(0.1, 10, -1))
	// A loop without calls is stopped by a signal.
	var stop int32
	go func() {
		for atomic.LoadInt32(&stop) == 0 {
		}
	}()
	time.Sleep(20 * time.Millisecond)
	runtime.GC()
	atomic.StoreInt32(&stop, 1)
	b, err := exec.Command("/bin/echo", "a child").Output()
	fmt.Print(string(b), err, "\n")
}
