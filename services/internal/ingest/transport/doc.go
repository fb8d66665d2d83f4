// Package transport is what lies below the producer's HTTP: connections whose read deadlines are
// jittered ([Jittered]) and which handlers find again ([ConnOf]), so that they linger after a refusal.
package transport
