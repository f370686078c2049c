//go:build linux

package powerloss

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
)

const (
	diskSize = 64 << 20
	block    = 4096
	sector   = 512
)

// op is what a file system has asked of a disk: to write, or to make durable what it
// has written before.
type op struct {
	flush bool
	at    int64
	data  []byte
	acks  int // how many answers clients had when it was asked
}

// disk is a block device in memory: a file in FUSE with a loop device on it.
type disk struct {
	fs.Inode
	device string // the loop device
	dir    string // where it can be mounted

	mu    sync.Mutex
	image []byte           // guarded by mu
	over  map[int64][]byte // guarded by mu: blocks that are not those of the image; nil while the image is written
	log   []op             // guarded by mu
	acks  func() int       // guarded by mu; nil while nothing is logged
}

var (
	_ fs.NodeOpener    = (*disk)(nil)
	_ fs.NodeReader    = (*disk)(nil)
	_ fs.NodeWriter    = (*disk)(nil)
	_ fs.NodeFsyncer   = (*disk)(nil)
	_ fs.NodeGetattrer = (*disk)(nil)
	_ fs.NodeSetattrer = (*disk)(nil)
)

// newDisk makes a disk that ends with the test.
func newDisk(t *testing.T, image []byte) *disk {
	t.Helper()
	at := t.TempDir()
	d := &disk{image: image, dir: filepath.Join(t.TempDir(), "mounted")}
	if err := os.Mkdir(d.dir, 0o700); err != nil {
		t.Fatal(err)
	}
	root := &fs.Inode{}
	server, err := fs.Mount(at, root, &fs.Options{
		MountOptions: fuse.MountOptions{DirectMount: true, MaxWrite: 1 << 20},
		OnAdd: func(ctx context.Context) {
			root.AddChild("disk", root.NewPersistentInode(ctx, d, fs.StableAttr{Mode: fuse.S_IFREG}), false)
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Unmount(); err != nil {
			t.Error(err)
		}
	})
	d.device = strings.TrimSpace(run(t, "losetup", "--show", "-f", filepath.Join(at, "disk")))
	t.Cleanup(func() { run(t, "losetup", "-d", d.device) })
	return d
}

func run(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %v: %v\n%s", name, args, err, out)
	}
	return string(out)
}

func (d *disk) mount() error {
	if err := syscall.Mount(d.device, d.dir, "ext4", syscall.MS_NOATIME, ""); err != nil {
		return fmt.Errorf("mount: %w", err)
	}
	return nil
}

// unmount unmounts the disk. Files that were just closed may keep it for a moment.
func (d *disk) unmount() (err error) {
	for range 200 {
		if err = syscall.Unmount(d.dir, 0); !errors.Is(err, syscall.EBUSY) {
			return err
		}
		time.Sleep(5 * time.Millisecond)
	}
	open, _ := filepath.Glob("/proc/self/fd/*")
	for _, fd := range open {
		if to, _ := os.Readlink(fd); strings.HasPrefix(to, d.dir) {
			err = fmt.Errorf("%w: %s is open", err, to)
		}
	}
	return err
}

// record has what is asked of the disk logged from now on.
func (d *disk) record(acks func() int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.acks = acks
}

// show makes the disk have other blocks than its image. What is written later is
// written to them, and forgotten at the next show.
func (d *disk) show(blocks map[int64][]byte) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.over = maps.Clone(blocks)
}

// Open implements [fs.NodeOpener].
func (d *disk) Open(context.Context, uint32) (fs.FileHandle, uint32, syscall.Errno) {
	return nil, fuse.FOPEN_DIRECT_IO, 0
}

// Getattr implements [fs.NodeGetattrer].
func (d *disk) Getattr(_ context.Context, _ fs.FileHandle, out *fuse.AttrOut) syscall.Errno {
	out.Mode, out.Size = 0o600, uint64(len(d.image))
	return 0
}

// Setattr implements [fs.NodeSetattrer].
func (d *disk) Setattr(ctx context.Context, f fs.FileHandle, _ *fuse.SetAttrIn, out *fuse.AttrOut) syscall.Errno {
	return d.Getattr(ctx, f, out)
}

// Read implements [fs.NodeReader].
func (d *disk) Read(_ context.Context, _ fs.FileHandle, p []byte, off int64) (fuse.ReadResult, syscall.Errno) {
	d.mu.Lock()
	defer d.mu.Unlock()
	n := copy(p, d.image[min(off, int64(len(d.image))):])
	if d.over != nil {
		for at := off / block * block; at < off+int64(n); at += block {
			if b, ok := d.over[at]; ok {
				from := max(off, at)
				copy(p[from-off:n], b[from-at:])
			}
		}
	}
	return fuse.ReadResultData(p[:n]), 0
}

// Write implements [fs.NodeWriter].
func (d *disk) Write(_ context.Context, _ fs.FileHandle, p []byte, off int64) (uint32, syscall.Errno) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.acks != nil {
		d.log = append(d.log, op{at: off, data: append([]byte{}, p...), acks: d.acks()})
	}
	if d.over == nil {
		return uint32(copy(d.image[off:], p)), 0
	}
	lay(d.over, d.image, off, p, func() bool { return true })
	return uint32(len(p)), 0
}

// Fsync implements [fs.NodeFsyncer]. It is how a flush arrives.
func (d *disk) Fsync(context.Context, fs.FileHandle, uint32) syscall.Errno {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.acks != nil {
		d.log = append(d.log, op{flush: true, acks: d.acks()})
	}
	return 0
}

// lay writes the sectors that keep says to blocks over an image. Blocks are never
// changed in place.
func lay(over map[int64][]byte, image []byte, off int64, p []byte, keep func() bool) {
	for len(p) > 0 {
		at := off / block * block
		n := int(min(int64(len(p)), at+block-off))
		b, ok := over[at]
		if !ok {
			b = image[at : at+block]
		}
		b = append([]byte{}, b...)
		for from := 0; from < n; from += sector {
			if keep() {
				to := min(from+sector, n)
				copy(b[int(off-at)+from:], p[from:to])
			}
		}
		over[at] = b
		off, p = off+int64(n), p[n:]
	}
}
