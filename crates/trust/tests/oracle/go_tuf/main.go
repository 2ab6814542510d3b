// Another implementation's judgement and handwriting: go-tuf.
//
//	go_tuf verify DIR [TARGET]   gets TARGET, or else manifest.json, with go-tuf's client, trusting DIR/trusted-root.json only
//	go_tuf make DIR              writes a repository that vouches for DIR/targets/manifest.json
//
// Exit codes: 0 done or believed, 3 refused; anything else is a fault of this program or its setup.
package main

import (
	"crypto"
	"crypto/ed25519"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"github.com/sigstore/sigstore/pkg/signature"
	"github.com/theupdateframework/go-tuf/v2/metadata"
	"github.com/theupdateframework/go-tuf/v2/metadata/config"
	"github.com/theupdateframework/go-tuf/v2/metadata/updater"
)

const (
	manifest = "manifest.json"
	sequence = 7
)

// folder serves file URLs; a missing file is what a web server would call 404.
type folder struct{}

func (folder) DownloadFile(address string, maxLength int64, _ time.Duration) ([]byte, error) {
	parsed, err := url.Parse(address)
	if err != nil {
		return nil, err
	}
	bytes, err := os.ReadFile(parsed.Path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, &metadata.ErrDownloadHTTP{StatusCode: 404, URL: address}
	}
	if err == nil && int64(len(bytes)) > maxLength {
		return nil, &metadata.ErrDownloadLengthMismatch{Msg: address}
	}
	return bytes, err
}

func verify(dir, target string) error {
	root, err := os.ReadFile(filepath.Join(dir, "trusted-root.json"))
	if err != nil {
		return fault(err)
	}
	cfg, err := config.New("file://"+dir+"/metadata", root)
	if err != nil {
		return fault(err)
	}
	cfg.RemoteTargetsURL = "file://" + dir + "/targets"
	cfg.DisableLocalCache = true
	cfg.PrefixTargetsWithHash = false
	cfg.Fetcher = folder{}
	client, err := updater.New(cfg)
	if err != nil {
		return err
	}
	if err := client.Refresh(); err != nil {
		return err
	}
	info, err := client.GetTargetInfo(target)
	if err != nil {
		return err
	}
	_, _, err = client.DownloadTarget(info, "", "")
	return err
}

// keys are two for each role, both needed.
type keys [2]ed25519.PrivateKey

func newKeys() (made keys, err error) {
	for i := range made {
		if _, made[i], err = ed25519.GenerateKey(nil); err != nil {
			return made, err
		}
	}
	return made, nil
}

func sign[T metadata.Roles](file *metadata.Metadata[T], signers keys) error {
	for _, key := range signers {
		signer, err := signature.LoadSigner(key, crypto.Hash(0))
		if err != nil {
			return err
		}
		if _, err := file.Sign(signer); err != nil {
			return err
		}
	}
	return nil
}

func addKeys(root *metadata.Metadata[metadata.RootType], role string, signers keys) error {
	for _, private := range signers {
		key, err := metadata.KeyFromPublicKey(private.Public())
		if err != nil {
			return err
		}
		if err := root.Signed.AddKey(key, role); err != nil {
			return err
		}
	}
	root.Signed.Roles[role].Threshold = len(signers)
	return nil
}

func makeRepository(dir string) error {
	expires := time.Date(2029, 1, 1, 0, 0, 0, 0, time.UTC)
	rootKeys, err := newKeys()
	if err != nil {
		return err
	}
	publisher, err := newKeys()
	if err != nil {
		return err
	}
	root := metadata.Root(expires)
	root.Signed.ConsistentSnapshot = false
	if err := addKeys(root, metadata.ROOT, rootKeys); err != nil {
		return err
	}
	for _, role := range []string{metadata.TARGETS, metadata.SNAPSHOT, metadata.TIMESTAMP} {
		if err := addKeys(root, role, publisher); err != nil {
			return err
		}
	}
	if err := sign(root, rootKeys); err != nil {
		return err
	}
	info, err := metadata.TargetFile().FromFile(filepath.Join(dir, "targets", manifest), "sha256")
	if err != nil {
		return err
	}
	info.Path = manifest
	targets, snapshot, timestamp := metadata.Targets(expires), metadata.Snapshot(expires), metadata.Timestamp(expires)
	targets.Signed.Targets[manifest] = info
	targets.Signed.Version, snapshot.Signed.Version, timestamp.Signed.Version = sequence, sequence, sequence
	snapshot.Signed.Meta["targets.json"] = metadata.MetaFile(sequence)
	timestamp.Signed.Meta["snapshot.json"] = metadata.MetaFile(sequence)
	if err := errors.Join(sign(targets, publisher), sign(snapshot, publisher), sign(timestamp, publisher)); err != nil {
		return err
	}
	in := func(name string) string { return filepath.Join(dir, "metadata", name) }
	return errors.Join(
		root.ToFile(filepath.Join(dir, "trusted-root.json"), false),
		root.ToFile(in("1.root.json"), false),
		targets.ToFile(in("targets.json"), false),
		snapshot.ToFile(in("snapshot.json"), false),
		timestamp.ToFile(in("timestamp.json"), false),
	)
}

type setupError struct{ error }

func fault(err error) error { return setupError{err} }

func main() {
	if len(os.Args) < 3 || len(os.Args) > 4 {
		fmt.Fprintln(os.Stderr, "usage: go_tuf verify DIR [TARGET] | make DIR")
		os.Exit(2)
	}
	command, dir, target := os.Args[1], os.Args[2], manifest
	if len(os.Args) == 4 {
		target = os.Args[3]
	}
	var err error
	switch command {
	case "verify":
		err = verify(dir, target)
	case "make":
		if err = makeRepository(dir); err != nil {
			err = fault(err)
		}
	default:
		err = fault(fmt.Errorf("unknown command %q", command))
	}
	var broken setupError
	switch {
	case errors.As(err, &broken):
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	case err != nil:
		fmt.Fprintln(os.Stderr, err)
		os.Exit(3)
	}
}
