# Where Ruby's Fiddle finds the members of the structs that decide.rb types: `ruby layout.rb DECIDE.RB`.
require File.expand_path(ARGV.fetch(0))

{ 'bpos_error' => Bpos::Error, 'bpos_decision' => Bpos::Decision }.each do |name, type|
  puts "#{name} #{type.size}"
  offsets = type.malloc(Fiddle::RUBY_FREE).to_ptr.instance_variable_get(:@offset)
  type.members.zip(offsets) { |member, offset| puts "#{name}.#{member} #{offset}" }
end
