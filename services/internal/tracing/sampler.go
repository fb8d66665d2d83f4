package tracing

import (
	"fmt"
	"strings"

	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

const (
	parentBased    = "parentbased_"
	defaultSampler = parentBased + "always_on" // the specification's default
)

// newSampler returns the sampler that OTEL_TRACES_SAMPLER names.
func newSampler(name string, ratio float64) (sdk.Sampler, error) {
	root, byParent := strings.CutPrefix(name, parentBased)
	var sampler sdk.Sampler
	switch root {
	case "always_on":
		sampler = sdk.AlwaysSample()
	case "always_off":
		sampler = sdk.NeverSample()
	case "traceidratio":
		sampler = sdk.TraceIDRatioBased(ratio)
	default:
		return nil, fmt.Errorf("there is no sampler %q", name)
	}
	if byParent {
		return linkBased{sdk.ParentBased(sampler)}, nil
	}
	return sampler, nil
}

// linkBased treats the links of a root span as its parents: a batch is recorded if the trace of one
// of its events is, since that trace is not complete without the batch.
type linkBased struct{ sdk.Sampler }

func (s linkBased) ShouldSample(p sdk.SamplingParameters) sdk.SamplingResult {
	if !trace.SpanContextFromContext(p.ParentContext).IsValid() {
		for _, link := range p.Links {
			if link.SpanContext.IsSampled() {
				return sdk.SamplingResult{Decision: sdk.RecordAndSample}
			}
		}
	}
	return s.Sampler.ShouldSample(p)
}
