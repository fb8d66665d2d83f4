// Package admin is what is done with queues beside the stream of events: messages are counted
// ([Watch]), looked at and taken one by one ([Browser]), and published to any queue
// ([ConfirmingPublisher]), as dead letters and replays are.
package admin
