package main

import (
	"github.com/grafana/grafana-foundation-sdk/go/cog"
	"github.com/grafana/grafana-foundation-sdk/go/common"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
	"github.com/grafana/grafana-foundation-sdk/go/prometheus"
	"github.com/grafana/grafana-foundation-sdk/go/stat"
	"github.com/grafana/grafana-foundation-sdk/go/timeseries"
)

// runbooks is where the pages of alerts are.
const runbooks = "https://github.com/trailpost/trailpost/blob/main/docs/runbooks/"

// panel is a question, its answer's unit, and what to do about it.
type panel struct {
	title    string
	help     string   // what it shows, what is right, and what is not
	runbooks []string // names of alerts that look at the same

	unit    string
	width   uint32 // of 24 columns
	stat    bool   // one number, not a course over time
	queries []query
	limits  []limit
	words   map[string]word // for values
	unknown string          // shown without a value
	most    float64         // the axis' end, unless 0
	stacked bool
}

type query struct{ expr, legend string }

// limit colours values from it on.
type limit struct {
	from  float64
	color string
}

// word stands for a value.
type word struct{ text, color string }

const (
	green  = "green"
	yellow = "yellow"
	red    = "red"
)

// Heights, in Grafana's rows.
const (
	statHeight  = 4
	graphHeight = 8
)

func (p panel) build(id uint32) cog.Builder[dashboard.Panel] {
	if p.stat {
		return p.number(id)
	}
	return p.graph(id)
}

func (p panel) number(id uint32) cog.Builder[dashboard.Panel] {
	b := stat.NewPanelBuilder().
		Id(id).Title(p.title).Description(p.help).Datasource(source).
		Height(statHeight).Span(p.width).
		Unit(p.unit).
		Thresholds(p.thresholds()).
		Links(p.links()).
		GraphMode(common.BigValueGraphModeArea).
		ColorMode(common.BigValueColorModeBackground).
		Orientation(common.VizOrientationAuto).
		ReduceOptions(common.NewReduceDataOptionsBuilder().Calcs([]string{"lastNotNull"}))
	if len(p.limits) == 0 && len(p.words) == 0 {
		b.ColorMode(common.BigValueColorModeNone) // nothing to be called good or bad
	}
	if len(p.words) > 0 {
		b.Mappings(p.mappings()).GraphMode(common.BigValueGraphModeNone)
	}
	if p.unknown != "" {
		// The last value before an unknown one is not the answer.
		b.NoValue(p.unknown).ReduceOptions(common.NewReduceDataOptionsBuilder().Calcs([]string{"last"}))
	}
	for i, q := range p.queries {
		b.WithTarget(q.build(i))
	}
	return b
}

func (p panel) graph(id uint32) cog.Builder[dashboard.Panel] {
	b := timeseries.NewPanelBuilder().
		Id(id).Title(p.title).Description(p.help).Datasource(source).
		Height(graphHeight).Span(p.width).
		Unit(p.unit).
		Min(0).
		Thresholds(p.thresholds()).
		Links(p.links()).
		LineWidth(1).
		FillOpacity(10).
		ShowPoints(common.VisibilityModeNever).
		Legend(common.NewVizLegendOptionsBuilder().ShowLegend(true).DisplayMode(common.LegendDisplayModeList).
			Placement(common.LegendPlacementBottom)).
		Tooltip(common.NewVizTooltipOptionsBuilder().Mode(common.TooltipDisplayModeMulti).Sort(common.SortOrderDescending))
	if len(p.limits) > 0 {
		b.ThresholdsStyle(common.NewGraphThresholdsStyleConfigBuilder().Mode(common.GraphThresholdsStyleModeDashed))
	}
	if p.most != 0 {
		b.Max(p.most)
	}
	if p.stacked {
		b.Stacking(common.NewStackingConfigBuilder().Mode(common.StackingModeNormal))
	}
	for i, q := range p.queries {
		b.WithTarget(q.build(i))
	}
	return b
}

func (q query) build(i int) *prometheus.DataqueryBuilder {
	id := string(rune('A' + i)) //nolint:gosec // a panel has a few queries
	return prometheus.NewDataqueryBuilder().RefId(id).
		Expr(q.expr).LegendFormat(q.legend).Range().Datasource(source)
}

// thresholds are green up to the first limit, unless a limit from 0 on says otherwise.
func (p panel) thresholds() cog.Builder[dashboard.ThresholdsConfig] {
	steps := []dashboard.Threshold{{Color: green}}
	for _, l := range p.limits {
		if l.from == 0 {
			steps[0].Color = l.color
			continue
		}
		steps = append(steps, dashboard.Threshold{Value: new(l.from), Color: l.color})
	}
	return dashboard.NewThresholdsConfigBuilder().Mode(dashboard.ThresholdsModeAbsolute).Steps(steps)
}

func (p panel) mappings() []dashboard.ValueMapping {
	options := map[string]dashboard.ValueMappingResult{}
	for value, w := range p.words {
		options[value] = dashboard.ValueMappingResult{Text: &w.text, Color: &w.color}
	}
	return []dashboard.ValueMapping{{ValueMap: &dashboard.ValueMap{Type: dashboard.MappingTypeValueToText, Options: options}}}
}

func (p panel) links() []cog.Builder[dashboard.DashboardLink] {
	var links []cog.Builder[dashboard.DashboardLink]
	for _, alert := range p.runbooks {
		links = append(links, dashboard.NewDashboardLinkBuilder("Runbook: "+alert).Type(dashboard.DashboardLinkTypeLink).
			Url(runbooks+alert+".md").TargetBlank(true))
	}
	return links
}
