# What the class of decide.rb does from one request to the next: `ruby behaviour.rb DECIDE.RB FOLDER`. BPOS_COMMAND is
# `bpos`, and FOLDER a place for its registry.
require 'open3'
require File.expand_path(ARGV.fetch(0))

PATH = ENV['BPOS_REGISTRY'] = "#{ARGV.fetch(1)}/ruby.json"
TARGET = '/api/v1/products'

def bpos(*arguments)
  out, error, status = Open3.capture3(ENV.fetch('BPOS_COMMAND'), *arguments)
  raise error unless status.success?

  [out.chomp, error[/key_\w+/]]
end

bpos('init', PATH)
KEY, id = bpos('key', 'create', '--name', 'A', '--store', 'yourstore', '--scope', 'products:read')
REGISTRY = Bpos::Registry.new(PATH)
$passed = 0

def expect(reason, key, store = 'yourstore', target = TARGET)
  found = Bpos.bpos_reason_name(REGISTRY.authorize(key, store, 'GET', target).reason).to_s
  raise "expected #{reason}, found #{found}" unless found == reason

  $passed += 1
end

expect 'allowed', KEY
expect 'wrong_store', KEY, nil # a store that was not found
expect 'wrong_store', KEY, ''
expect 'wrong_store', KEY, "yourstore\0"
expect 'malformed_key', "#{KEY}\0"
expect 'missing_key', nil
expect 'unmapped_route', KEY, 'yourstore', nil
100.times do
  GC.start
  expect 'wrong_store', KEY, 'another'
end
left = REGISTRY.authorize(KEY, 'yourstore', 'GET', TARGET).remaining
raise "one registry counts on, but has #{left} left" unless left == 58

document = File.read(PATH)
File.write(PATH, '{')
expect 'allowed', KEY # a bad file changes nothing
File.write(PATH, document)
bpos('key', 'revoke', id)
expect 'revoked_key', KEY # another process revoked it
puts "#{$passed} passed, 0 failed"
