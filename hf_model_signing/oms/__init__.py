"""The OpenSSF Model Signing format: conversion between bytes and values."""
