// Package chart_test holds the chart to its promises by what `helm template` makes of it: no cluster is needed. What
// only a cluster can show is in the end-to-end tests.
//
// The helm binary is $HELM, else the one on the PATH, else hack/tools/helm's, which is built once.
package chart_test
