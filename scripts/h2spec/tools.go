//go:build tools

// Package tools names the program that scripts/h2spec.sh builds, so that go.mod and go.sum pin it with all it needs.
package tools

import _ "github.com/summerwind/h2spec/cmd/h2spec"
